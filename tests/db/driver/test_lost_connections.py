"""Connections of which the driver does not know where they stand, and those that are lost."""

import asyncio
import sqlite3
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from pathlib import Path

import pytest
from sqlalchemy import make_url, select
from sqlalchemy.exc import DBAPIError

from db.database import Database, SilentBell
from db.driver import engine
from db.driver.locks import LockName, member_lock
from db.driver.urls import sqlite_file
from db.errors import DatabaseUnavailableError, SchemaOutdatedError
from db.migrate import check_schema
from db.vocabulary import PortalId
from sync.recording.record import record_deliveries
from tests.support.builders import created, guid
from tests.support.opened import opened, row_counts
from tests.support.postgres import PostgresCluster
from tests.sync.recorded_events import delivery


class Middlebox:
    """Between the service and PostgreSQL. When it forgets its connections, what goes over them is
    swallowed; new ones are passed on."""

    def __init__(self, url: str) -> None:
        self._target = make_url(url)
        self._generation = 0
        self._writers: list[StreamWriter] = []

    def forget(self) -> None:
        self._generation += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """The URL to connect to."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        yield self._target.set(port=port).render_as_string(hide_password=False)
        server.close()
        for writer in self._writers:
            writer.close()

    async def _connect(self, reader: StreamReader, writer: StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target.port)
        self._writers += [writer, to_server]
        await asyncio.gather(self._pass_on(reader, to_server), self._pass_on(from_server, writer))

    async def _pass_on(self, reader: StreamReader, writer: StreamWriter) -> None:
        generation = self._generation
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if generation == self._generation:
                    writer.write(data)
        writer.close()


async def begin_and_give_up(database: Database, steps: int) -> None:
    async def hold() -> None:
        async with database.write(exclusive=[LockName("somebody")]):
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_what_is_recorded_after_somebody_gave_up_beginning_is_there(
    database_url: str,
) -> None:
    async with opened(database_url) as database:
        await record_deliveries(database, [delivery(created("Kari"), "evt_first")])
        for steps in range(30):
            await begin_and_give_up(database, steps)
            await record_deliveries(database, [delivery(created(f"M{steps}"), f"evt_{steps}")])
        counts = await row_counts(database)

    assert counts["sync_log"] == 31
    assert counts["changes"] == 31


async def test_server_that_went_away_without_a_word_is_not_waited_for(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "ANSWER_SECONDS", 0.5)
    box = Middlebox(postgres_url)

    async with box.running() as url, opened(url) as database:
        await record_deliveries(database, [delivery(created("Kari"), "evt_1")])
        await database.check()
        box.forget()
        with pytest.raises(DatabaseUnavailableError):
            await record_deliveries(database, [delivery(created("Ola"), "evt_2")])
        with pytest.raises(DatabaseUnavailableError):
            await database.check()
        await record_deliveries(database, [delivery(created("Ola"), "evt_2")])
        counts = await row_counts(database)

    assert counts["sync_log"] == 2


async def test_server_that_went_away_without_a_word_holds_up_no_end(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "ANSWER_SECONDS", 5)
    box = Middlebox(postgres_url)

    async with box.running() as url:
        database = Database(url, SilentBell())
        async with AsyncExitStack() as sessions:
            for _ in range(3):
                await sessions.enter_async_context(database.read())
        box.forget()
        async with asyncio.timeout(5):
            await database.close()


async def test_locks_of_a_process_that_stands_still_are_given_to_others(
    postgres_url: str,
) -> None:
    kari = [member_lock(PortalId(guid("Kari")))]

    async with opened(postgres_url) as still, opened(postgres_url) as other:
        async with still.write(exclusive=kari) as session:
            await record_deliveries(other, [delivery(created("Kari"), "evt_1")])
            with pytest.raises(DBAPIError):
                await session.scalar(select(1))
            session.discard()
        await record_deliveries(still, [delivery(created("Ola"), "evt_2")])
        counts = await row_counts(other)

    assert counts["sync_log"] == 2


async def test_database_that_takes_nobody_is_away(postgres: PostgresCluster) -> None:
    url = postgres.create_database("takes_nobody")
    try:
        postgres.execute("ALTER DATABASE takes_nobody ALLOW_CONNECTIONS false")
        async with opened(url) as database:
            with pytest.raises(DatabaseUnavailableError):
                await database.check()
    finally:
        postgres.drop_database("takes_nobody")


async def test_database_that_is_missing_is_away(postgres: PostgresCluster) -> None:
    async with opened(postgres.url_of("nowhere")) as database:
        with pytest.raises(DatabaseUnavailableError, match="nowhere"):
            await database.check()


async def test_nothing_is_written_into_a_file_that_was_deleted(sqlite_url: str) -> None:
    file = sqlite_file(sqlite_url)
    assert file is not None

    async with opened(sqlite_url) as database:
        await record_deliveries(database, [delivery(created("Kari"), "evt_1")])
        await database.check()
        for name in (file, Path(f"{file}-wal"), Path(f"{file}-shm")):
            name.unlink(missing_ok=True)
        with pytest.raises(DatabaseUnavailableError):
            await record_deliveries(database, [delivery(created("Ola"), "evt_2")])
        with pytest.raises(SchemaOutdatedError):
            await check_schema(database)


async def test_file_that_takes_the_place_of_another_is_the_database(
    sqlite_url: str, tmp_path: Path
) -> None:
    file = sqlite_file(sqlite_url)
    assert file is not None
    copy = tmp_path / "copy.db"

    async with opened(sqlite_url) as database:
        await record_deliveries(database, [delivery(created("Kari"), "evt_1")])
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        await record_deliveries(database, [delivery(created("Ola"), "evt_2")])
        for name in (file, Path(f"{file}-wal"), Path(f"{file}-shm")):
            name.unlink(missing_ok=True)
        copy.rename(file)
        await record_deliveries(database, [delivery(created("Per"), "evt_3")])
        counts = await row_counts(database)
    async with opened(sqlite_url) as database:
        assert await row_counts(database) == counts

    assert counts["sync_log"] == 2
