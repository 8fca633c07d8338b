"""How long the change feed is kept, and what a reader is told who comes too late for it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from db.database import Database
from db.errors import CursorExpiredError, DatabaseUnavailableError
from db.feed import retention
from db.feed.changes import Cursor, changes_after, check_cursor, feed_head
from db.feed.retention import CHUNK, Keep, Retention, prune_changes
from db.publication import NewChange
from db.tables.models import Change
from db.vocabulary import MemberId, Position
from tests.support.opened import opened
from tests.support.service import DEADLINE

FOR_EVER = timedelta(days=36500)


async def write(database: Database, count: int) -> None:
    async with database.write() as session:
        for member in range(1, count + 1):
            session.append(NewChange(member_id=MemberId(member)))


async def positions(database: Database) -> list[int]:
    async with database.read() as session:
        return [c.position for c in await changes_after(session, Position(0), limit=100_000)]


async def test_only_so_many_of_the_latest_changes_are_kept(database: Database) -> None:
    await write(database, 10)

    deleted = await prune_changes(database, Keep(FOR_EVER, 4), datetime.now(UTC))

    assert deleted == 6
    assert await positions(database) == [7, 8, 9, 10]


async def test_changes_go_when_they_are_too_old_and_not_before(database: Database) -> None:
    keep = Keep(timedelta(hours=1), 1000)
    await write(database, 3)
    at = datetime.now(UTC)
    await write(database, 2)

    assert await prune_changes(database, keep, at + timedelta(minutes=59)) == 0
    assert await prune_changes(database, keep, at + timedelta(hours=1)) == 3
    assert await positions(database) == [4, 5]
    assert await prune_changes(database, keep, at + timedelta(hours=2)) == 2
    assert await positions(database) == []


async def test_change_that_is_young_enough_stays_wherever_it_stands(database: Database) -> None:
    """Writers take their positions after they have read their clocks, and each has its own."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    minutes = {1: 0, 2: 3, 3: 1, 4: 2, 5: 3}
    await write(database, len(minutes))
    async with database.write() as session:
        for position, minute in minutes.items():
            moved = update(Change).where(Change.position == position)
            await session.run(moved.values(committed_at=at + timedelta(minutes=minute)))
    keep = Keep(timedelta(hours=1), 1000)

    for minute, kept in [(0, [1, 2, 3, 4, 5]), (1, [2, 3, 4, 5]), (3, [2, 3, 4, 5]), (4, [])]:
        await prune_changes(database, keep, at + keep.age + timedelta(minutes=minute))
        assert await positions(database) == kept


async def test_more_than_are_deleted_together_all_go(database: Database) -> None:
    await write(database, CHUNK + 5)

    assert await prune_changes(database, Keep(FOR_EVER, 1), datetime.now(UTC)) == CHUNK + 4


async def test_place_whose_next_change_is_gone_has_expired_and_the_next_place_is_good(
    database: Database,
) -> None:
    await write(database, 10)
    await prune_changes(database, Keep(FOR_EVER, 4), datetime.now(UTC))

    async with database.read() as session:
        head = await feed_head(session)
        with pytest.raises(CursorExpiredError):
            await check_cursor(session, Cursor(head.feed_id, Position(5)))
        await check_cursor(session, Cursor(head.feed_id, Position(6)))
        await check_cursor(session, head)


async def test_positions_go_on_where_everything_was_deleted(database: Database) -> None:
    await write(database, 3)
    await prune_changes(database, Keep(timedelta(0), 1), datetime.now(UTC) + timedelta(hours=1))
    await write(database, 1)

    assert await positions(database) == [4]


@pytest.mark.parametrize(
    "error", [DatabaseUnavailableError("It is away."), RuntimeError("Nobody thought of this.")]
)
async def test_changes_go_on_being_deleted_after_that_has_failed(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(retention, "PERIOD_SECONDS", 0)
    failures = [error]

    def clock() -> datetime:
        if failures:
            raise failures.pop()
        return datetime.now(UTC)

    async with opened(sqlite_url) as database:
        await write(database, 10)
        async with asyncio.timeout(DEADLINE), Retention(database, Keep(FOR_EVER, 4), clock):
            while len(await positions(database)) > 4:
                pass
