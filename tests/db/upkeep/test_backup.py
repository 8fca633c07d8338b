"""A backup of SQLite is whole, private, and never written over another file."""

import asyncio
import sqlite3
import stat
from pathlib import Path

import pytest

from db.driver.urls import sqlite_file
from db.errors import BackupError
from db.feed.changes import feed_head
from db.upkeep.backup import back_up
from sync.recording.record import record_deliveries
from tests.support.builders import created
from tests.support.opened import opened, row_counts
from tests.sync.recorded_events import delivery


def file_of(url: str) -> Path:
    file = sqlite_file(url)
    assert file is not None
    return file


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


async def test_backup_holds_what_was_committed_and_what_is_still_in_the_log_beside_the_file(
    sqlite_url: str, tmp_path: Path
) -> None:
    target = tmp_path / "copy.db"
    async with opened(sqlite_url) as database:
        await record_deliveries(database, [delivery(created("Kari"), "evt_1")])
        counts = await row_counts(database)

        written = await back_up(file_of(sqlite_url), target)

    assert [name for name in names(tmp_path) if "copy" in name] == ["copy.db"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert written.size == target.stat().st_size
    async with opened(f"sqlite+aiosqlite:///{target}") as copy:
        assert await row_counts(copy) == counts


async def test_backups_while_events_are_written_are_each_of_one_moment(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with opened(sqlite_url) as database:

        async def write() -> None:
            for number in range(60):
                await record_deliveries(
                    database, [delivery(created(f"M {number}"), f"evt_{number}")]
                )

        writing = asyncio.create_task(write())
        copies: list[Path] = []
        while not writing.done():
            copies.append(tmp_path / f"copy {len(copies)}.db")
            await back_up(file_of(sqlite_url), copies[-1])
        await writing

    for copy in copies:
        async with opened(f"sqlite+aiosqlite:///{copy}") as database:
            counts = await row_counts(database)
            async with database.read() as session:
                position = (await feed_head(session)).position
        assert counts["members"] == counts["sync_log"]
        assert counts["changes"] == position


async def test_copy_has_a_change_feed_of_its_own(sqlite_url: str, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"

    await back_up(file_of(sqlite_url), target)

    async with opened(sqlite_url) as database, database.read() as session:
        original = await feed_head(session)
    async with opened(f"sqlite+aiosqlite:///{target}") as database, database.read() as session:
        copy = await feed_head(session)
    assert copy.feed_id != original.feed_id
    assert copy.position == original.position


async def test_existing_file_is_not_overwritten(sqlite_url: str, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("precious")

    with pytest.raises(BackupError, match="exists already"):
        await back_up(file_of(sqlite_url), target)

    assert target.read_text() == "precious"
    assert names(tmp_path) == ["copy.db", "likeperson.db"]


async def test_nothing_is_left_of_a_backup_that_failed(tmp_path: Path) -> None:
    source = tmp_path / "broken.db"
    source.write_bytes(b"SQLite format 3\0" + b"\xff" * 8192)
    target = tmp_path / "copy.db"

    with pytest.raises(BackupError, match=r"broken\.db"):
        await back_up(source, target)
    with pytest.raises(BackupError, match="does not exist"):
        await back_up(tmp_path / "none.db", target)

    assert names(tmp_path) == ["broken.db"]


async def test_backup_of_another_database_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "other.db"
    sqlite3.connect(source).close()
    with sqlite3.connect(source) as other:
        other.execute("CREATE TABLE things (id)")
    other.close()

    with pytest.raises(BackupError, match="no such table: feed_head"):
        await back_up(source, tmp_path / "copy.db")
