"""How connections are opened: private files, and one isolation whatever the server's default is."""

import asyncio
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from db.database import Database
from db.errors import ConcurrentWriteError
from db.migrate import migrate
from sync.recording.record import record_deliveries
from tests.support.builders import created, updated
from tests.support.opened import opened, row_counts
from tests.support.postgres import PostgresCluster
from tests.sync.recorded_events import delivery

SERIALIZATION_FAILURE = text("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$")


@pytest.fixture
def _open_umask() -> Iterator[None]:
    before = os.umask(0o000)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.usefixtures("_open_umask")
async def test_files_of_sqlite_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    url = f"sqlite+aiosqlite:///{folder}/likeperson.db"

    await migrate(url)
    async with opened(url) as database:
        await record_deliveries(database, [delivery(created("Kari"), "evt_1")])
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}

    assert modes == dict.fromkeys(
        ("likeperson.db", "likeperson.db-wal", "likeperson.db-shm"), 0o600
    )
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_a_server_that_is_serializable_by_default_loses_nothing(
    postgres: PostgresCluster, postgres_url: str
) -> None:
    name = postgres_url.rpartition("/")[2]
    postgres.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    events = [created("Kari"), *(updated("Kari", n, profile={"phone": str(n)}) for n in range(20))]

    async with opened(postgres_url) as one, opened(postgres_url) as other:
        await asyncio.gather(
            *(
                record_deliveries(database, [delivery(event, f"evt_{number}")])
                for number, event in enumerate(events)
                for database in (one, other)
            )
        )
        counts = await row_counts(one)

    assert (counts["sync_log"], counts["members"]) == (len(events), 1)


async def test_a_serialization_failure_is_to_be_tried_again(on_postgres: Database) -> None:
    async def fail() -> None:
        async with on_postgres.write() as session:
            await session.run(SERIALIZATION_FAILURE)

    with pytest.raises(ConcurrentWriteError):
        await fail()
