"""A query that takes too long is cancelled, and so is its statement in the database."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import httpx
import pytest

from app.server import running
from app.settings import Settings
from tests.support.answers import codes
from tests.support.builders import created
from tests.support.service import DEADLINE, Service

WAITING = """SELECT count(*) FROM pg_stat_activity
    WHERE application_name = 'likeperson-sync' AND state = 'active' AND wait_event_type = 'Lock'"""


@pytest.fixture
async def impatient(postgres_url: str) -> AsyncIterator[Service]:
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]  # pydantic-settings takes it at run time
        database_url=postgres_url,
        port=0,
        log_level="warning",
        max_query_seconds=0.5,
    )
    async with running(settings) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        yield Service(url, http, settings)


async def until(connection: asyncpg.Connection, waiting: int) -> None:
    async with asyncio.timeout(DEADLINE):
        while await connection.fetchval(WAITING) != waiting:
            pass


async def test_query_that_takes_too_long_is_cancelled_with_its_statement(
    impatient: Service, postgres_url: str
) -> None:
    await impatient.tell(created("Kari"))
    holder = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE role_assignments IN ACCESS EXCLUSIVE MODE")
            queries = ["{ members { totalCount edges { node { accessLevel } } } }"] * 12
            asked = asyncio.gather(*(impatient.ask(query) for query in queries))
            answers = await asked
            # The lock is still held, so whatever waited for it was taken away.
            await until(holder, 0)
        data = await impatient.data(queries[0])
    finally:
        await holder.close()

    for answer in answers:
        assert codes(answer) == ["COST_LIMIT"]
        assert answer["data"] is None
        assert answer["errors"][0]["extensions"]["limit"] == "operation.seconds"
    assert data["members"]["totalCount"] == 1
