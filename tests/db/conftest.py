"""Open databases for a test: one of both kinds, and one on PostgreSQL alone."""

from collections.abc import AsyncIterator

import pytest

from db.database import Database
from tests.support.opened import opened


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as database:
        yield database


@pytest.fixture
async def on_postgres(postgres_url: str) -> AsyncIterator[Database]:
    async with opened(postgres_url) as database:
        yield database
