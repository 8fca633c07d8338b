"""Reading sessions: of which moment they are, and what becomes of their connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from sqlalchemy import func, select, text

from db.database import Database
from db.driver import kept_connections
from db.driver.engine import SQLITE_READERS
from db.driver.statements.compiled_statements import CompiledStatement
from db.errors import DatabaseUnavailableError
from db.queries.chapters.national_body import NationalBody
from db.queries.members import viewers
from db.queries.members.viewers import ViewerLookups
from db.sessions import ReadSession
from db.tables.models import Organization
from db.vocabulary import PortalId
from tests.support.opened import opened
from tests.support.service import DEADLINE

NAMES = select(Organization.name).order_by(Organization.id)
COMPILED_NAMES = CompiledStatement(NAMES)
WRONG = CompiledStatement(text("SELECT 1 FROM nowhere"))
# Counts for years, if nobody stops it.
ENDLESS = CompiledStatement(
    text(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1e15) "
        "SELECT count(*) FROM n"
    )
)
MORE_THAN_THERE_ARE = 15
POSTGRES_READERS = 10


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as database:
        yield database


async def write(database: Database, id: int) -> None:
    row = {"id": id, "portal_id": f"number {id}", "name": f"HLF {id}", "parent_id": None}
    async with database.write() as session:
        await session.insert(Organization, [{**row, "as_of": {}}])


async def names(session: ReadSession, *, compiled: bool) -> list[str | None]:
    rows = await session.rows(COMPILED_NAMES, {}) if compiled else await session.all(NAMES)
    return [row[0] for row in rows]


@pytest.mark.parametrize("compiled", [True, False], ids=["past SQLAlchemy", "by SQLAlchemy"])
async def test_in_a_snapshot_all_statements_see_the_same_moment(
    database: Database, compiled: bool
) -> None:
    await write(database, 1)
    for number in range(2, 5):
        before = [f"HLF {id}" for id in range(1, number)]
        async with database.read(snapshot=True) as session:
            assert await names(session, compiled=compiled) == before

            await write(database, number)

            assert await names(session, compiled=compiled) == before
            assert await names(session, compiled=not compiled) == before
        async with database.read() as session:
            assert await names(session, compiled=compiled) == [*before, f"HLF {number}"]


async def test_each_statement_outside_of_a_snapshot_sees_its_own_moment(database: Database) -> None:
    async with database.read() as session:
        assert await names(session, compiled=True) == []

        await write(database, 1)

        assert await names(session, compiled=True) == ["HLF 1"]


async def test_connections_on_which_something_failed_are_replaced(database: Database) -> None:
    await write(database, 1)
    for _ in range(MORE_THAN_THERE_ARE):
        for snapshot in (True, False):
            with pytest.raises(Exception, match="nowhere"):
                async with database.read(snapshot=snapshot) as session:
                    await session.rows(WRONG, {})

    async with asyncio.timeout(DEADLINE), database.read() as session:
        assert await names(session, compiled=True) == ["HLF 1"]


async def test_statements_of_those_who_went_away_are_ended(database: Database) -> None:
    await write(database, 1)
    began = asyncio.Event()

    async def read() -> None:
        async with database.read() as session:
            began.set()
            await session.rows(ENDLESS, {})

    for _ in range(MORE_THAN_THERE_ARE):
        began.clear()
        reading = asyncio.create_task(read())
        await began.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    async with asyncio.timeout(DEADLINE), database.read() as session:
        assert await names(session, compiled=True) == ["HLF 1"]


async def test_as_many_as_want_to_can_read_at_the_same_time(database: Database) -> None:
    await write(database, 1)

    async def read() -> list[str | None]:
        async with database.read(snapshot=True) as session:
            return await names(session, compiled=True)

    async with asyncio.timeout(DEADLINE):
        found = await asyncio.gather(*(read() for _ in range(100)))

    assert found == [["HLF 1"]] * 100


@asynccontextmanager
async def all_connections_taken(database: Database) -> AsyncIterator[None]:
    async with database.read() as session:
        count = SQLITE_READERS if session.on_sqlite else POSTGRES_READERS
    async with AsyncExitStack() as held:
        for _ in range(count):
            await held.enter_async_context(database.read())
        yield


async def check_that_all_connections_can_be_taken(database: Database) -> None:
    async with asyncio.timeout(DEADLINE), all_connections_taken(database):
        pass


async def test_nobody_waits_without_end_for_a_connection(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_connections, "PATIENCE_SECONDS", 0.01)
    async with asyncio.timeout(DEADLINE):
        async with all_connections_taken(database):
            with pytest.raises(DatabaseUnavailableError):
                await database.check()

        await database.check()


async def test_nobody_waits_without_end_to_be_looked_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_connections, "PATIENCE_SECONDS", 2 * DEADLINE)
    lookups = ViewerLookups(database, NationalBody())
    async with asyncio.timeout(DEADLINE):
        async with all_connections_taken(database):
            with monkeypatch.context() as hurry:
                hurry.setattr(viewers, "PATIENCE_SECONDS", 0.01)
                with pytest.raises(DatabaseUnavailableError):
                    await lookups.find(PortalId("somebody"))

        assert await lookups.find(PortalId("somebody")) is None


@pytest.mark.parametrize("ready", [True, False], ids=["a connection is ready", "none is ready"])
@pytest.mark.parametrize("times", [1, 2], ids=["told once", "told twice"])
async def test_those_who_gave_up_beginning_to_read_take_no_connection_along(
    database: Database, ready: bool, times: int
) -> None:
    async def read() -> None:
        async with database.read(snapshot=True):
            await asyncio.Event().wait()

    for steps in range(20):
        if ready:
            await database.check()
        reading = asyncio.create_task(read())
        for _ in range(steps):
            await asyncio.sleep(0)
        for _ in range(times):
            reading.cancel()
            await asyncio.sleep(0)
        with suppress(asyncio.CancelledError):
            await reading

    await check_that_all_connections_can_be_taken(database)


async def test_connection_that_is_lost_before_its_snapshot_ends_is_replaced(
    postgres_url: str,
) -> None:
    async def read_and_lose_it(database: Database) -> None:
        async with database.read(snapshot=True) as session, database.read() as other:
            process = await session.scalar(select(func.pg_backend_pid()))
            await other.scalar(select(func.pg_terminate_backend(process, 1000)))

    async with opened(postgres_url) as database:
        with pytest.raises(DatabaseUnavailableError):
            await read_and_lose_it(database)

        await check_that_all_connections_can_be_taken(database)
