"""An open database for a test, of both kinds."""

from collections.abc import AsyncIterator

import pytest

from db.database import Database
from tests.support.opened import opened


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as database:
        yield database
