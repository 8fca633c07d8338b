"""The service as strangers meet it in production, with settings that a test chooses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from app.server import running
from app.settings import Settings
from tests.support.service import DEADLINE, Service


@asynccontextmanager
async def guarded_service(database_url: str, **given: Any) -> AsyncIterator[Service]:
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]  # pydantic-settings takes it at run time
        database_url=database_url,
        port=0,
        log_level="warning",
        **{"guarded": True, **given},
    )
    async with running(settings) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        yield Service(url, http, settings)
