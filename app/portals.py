"""Opens the Web API of a source, as its mapping says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from app.services import utc_now
from sync.dataverse.errors import PortalRefusedError
from sync.dataverse.mapping import PortalMapping
from sync.dataverse.portal import DataversePortal
from sync.dataverse.tokens import tokens_of
from sync.dataverse.web_api import WebApi


@asynccontextmanager
async def open_portal(mapping: PortalMapping) -> AsyncIterator[DataversePortal]:
    """Raises PortalRefusedError if the mapping names no API, or no way to sign in that works."""
    environment = mapping.environment
    if environment.api is None or environment.auth is None:
        raise PortalRefusedError("The mapping names no Web API.")
    async with httpx.AsyncClient() as http:
        tokens = tokens_of(environment.auth, environment.api, http, utc_now)
        api = WebApi(http, environment.api, tokens, page_size=mapping.reconcile.page_size)
        yield DataversePortal(api, mapping, utc_now)
