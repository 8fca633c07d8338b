"""The change feed: positions in the order of commits, and every change once to whoever follows."""

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import pytest
from sqlalchemy import update

from db.database import Database
from db.errors import (
    CursorExpiredError,
    DatabaseUnavailableError,
    ForeignCursorError,
    SlowConsumerError,
)
from db.feed import change_feed as feed_module
from db.feed.bell import BroadcastBell
from db.feed.change_feed import LiveFeed, QueueFollower
from db.feed.changes import Cursor, changes_after, check_cursor, feed_head
from db.publication import CommittedChange, NewChange
from db.tables.models import FeedHead
from db.vocabulary import MemberId, Position
from tests.support.builders import created, deactivated, updated
from tests.support.opened import clear, opened, put_back, waiting
from tests.support.service import DEADLINE
from tests.sync.recorded_events import record_all

WRITERS = 50
ROUNDS = 8


class HeldBell:
    """Is not heard until it is let go."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()

    def ring(self, position: int) -> None:
        pass

    async def wait(self, seen: int, timeout: float) -> int:  # noqa: ASYNC109  (the port's)
        await self.let_go.wait()
        self.let_go.clear()
        return seen


class LostBell:
    """Rings for nobody: then there is only the poll."""

    def ring(self, position: int) -> None:
        pass

    async def wait(self, seen: int, timeout: float) -> int:  # noqa: ASYNC109  (the port's)
        await asyncio.sleep(0.01)
        return seen


class FarAheadBell:
    """Rings for more than there is, to whoever has not heard of it yet."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()

    def ring(self, position: int) -> None:
        pass

    async def wait(self, seen: int, timeout: float) -> int:  # noqa: ASYNC109  (the port's)
        if seen >= 1000:
            self.heard.set()
            await asyncio.Event().wait()
        return 1000


class ToldBell:
    """Is heard when it is told to be."""

    def __init__(self) -> None:
        self._told: asyncio.Queue[int] = asyncio.Queue()
        self._under_way = False

    def ring(self, position: int) -> None:
        pass

    async def wait(self, seen: int, timeout: float) -> int:  # noqa: ASYNC109  (the port's)
        if self._under_way:
            self._told.task_done()
        told = await self._told.get()
        self._under_way = True
        return told

    async def tell(self, position: int) -> None:
        """Returns when the feed has done what it does about it, and waits again."""
        self._told.put_nowait(position)
        async with asyncio.timeout(DEADLINE):
            await self._told.join()


@asynccontextmanager
async def live(url: str) -> AsyncIterator[tuple[Database, LiveFeed]]:
    """A database that rings, and the feed that hears it."""
    async with BroadcastBell("memory://") as bell:
        database = Database(url, bell)
        try:
            async with LiveFeed(database, bell) as feed:
                yield database, feed
        finally:
            await database.close()


async def write(database: Database, *members: int) -> None:
    """One transaction that changes these members."""
    async with database.write() as session:
        for member in members:
            session.append(NewChange(member_id=MemberId(member)))


async def followed(follower: QueueFollower, up_to: int) -> list[int]:
    """Positions as they come, until this one has come."""
    positions: list[int] = []
    async with asyncio.timeout(DEADLINE):
        while not positions or positions[-1] < up_to:
            positions += [change.position for change in await follower.next_changes(DEADLINE)]
    return positions


def members_of(changes: Iterable[CommittedChange]) -> list[int | None]:
    return [change.member_id for change in changes]


async def test_changes_of_one_transaction_follow_each_other_in_the_order_they_were_made(
    database: Database,
) -> None:
    await write(database, 3, 1, 2)
    await write(database, 4)

    async with database.read() as session:
        changes = await changes_after(session, Position(0), limit=10)
        head = await feed_head(session)
    assert members_of(changes) == [3, 1, 2, 4]
    assert [change.position for change in changes] == [1, 2, 3, 4]
    assert head.position == 4


async def test_transaction_that_is_undone_leaves_no_change_and_no_gap(database: Database) -> None:
    await write(database, 1)

    with suppress(ZeroDivisionError):
        async with database.write() as session:
            session.append(NewChange(member_id=MemberId(2)))
            raise ZeroDivisionError
    await write(database, 3)

    async with database.read() as session:
        changes = await changes_after(session, Position(0), limit=10)
    assert [(change.position, change.member_id) for change in changes] == [(1, 1), (2, 3)]


async def test_savepoint_that_is_undone_takes_its_changes_along(database: Database) -> None:
    async with database.write() as session:
        session.append(NewChange(member_id=MemberId(1)))
        with suppress(ZeroDivisionError):
            async with session.savepoint():
                session.append(NewChange(member_id=MemberId(2)))
                raise ZeroDivisionError

    async with database.read() as session:
        assert members_of(await changes_after(session, Position(0), limit=10)) == [1]


async def test_later_position_is_not_committed_before_an_earlier_one(postgres_url: str) -> None:
    async with opened(postgres_url) as database, asyncio.timeout(DEADLINE):
        async with database.write() as first:
            first.append(NewChange(member_id=MemberId(1)))
            await first.publish_changes(datetime.now(UTC))
            second = asyncio.create_task(write(database, 2))
            while not second.done() and not await waiting(database):
                pass
            overtook = second.done()
        await second

        async with database.read() as session:
            changes = await changes_after(session, Position(0), limit=10)

    assert not overtook
    assert [(change.position, change.member_id) for change in changes] == [(1, 1), (2, 2)]


async def test_no_smaller_position_ever_appears_behind_a_reader(postgres_url: str) -> None:
    """Whoever has read up to a position has missed nothing before it, however many write."""
    total = WRITERS * ROUNDS * 2
    seen: list[int] = []

    async def write_again_and_again(database: Database, writer: int) -> None:
        for _ in range(ROUNDS):
            await write(database, writer, writer)

    async def read_on(database: Database) -> None:
        while len(seen) < total:
            async with database.read() as session:
                after = Position(seen[-1] if seen else 0)
                seen.extend(c.position for c in await changes_after(session, after, limit=500))

    # Two processes' worth of connections.
    async with opened(postgres_url) as one, opened(postgres_url) as other, asyncio.timeout(60):
        reading = asyncio.create_task(read_on(one))
        databases = itertools.cycle([one, other])
        async with asyncio.TaskGroup() as tasks:
            for writer in range(WRITERS):
                tasks.create_task(write_again_and_again(next(databases), writer))
        with suppress(TimeoutError):
            await asyncio.wait_for(reading, DEADLINE)

    assert seen == list(range(1, total + 1))


async def test_follower_gets_every_change_once_and_in_order_from_the_past_into_the_present(
    database_url: str,
) -> None:
    async with opened(database_url) as earlier:
        for member in range(7):
            await write(earlier, member)

    async with live(database_url) as (database, feed), feed.follow(Position(3)) as follower:
        writing = asyncio.create_task(_write_many(database, 30))
        positions = await followed(follower, up_to=37)
        await writing

    assert positions == list(range(4, 38))


async def _write_many(database: Database, count: int) -> None:
    for member in range(count):
        await write(database, member)


async def test_past_longer_than_one_reading_is_caught_up_with_whole(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "BATCH", 4)
    async with opened(sqlite_url) as earlier:
        await write(earlier, *range(10))

    async with live(sqlite_url) as (database, feed), feed.follow(Position(1)) as follower:
        await write(database, *range(10))
        positions = await followed(follower, up_to=20)

    assert positions == list(range(2, 21))


async def test_cursor_from_a_process_that_has_read_further_is_followed_from_there(
    database_url: str,
) -> None:
    bell = HeldBell()

    async with (
        opened(database_url) as other_process,
        opened(database_url) as database,
        LiveFeed(database, bell) as feed,
    ):
        await write(other_process, 1, 2, 3, 4)
        async with feed.follow(Position(2)) as follower:
            bell.let_go.set()
            positions = await followed(follower, up_to=4)

    assert positions == [3, 4]


async def test_followers_do_not_take_changes_from_each_other(sqlite_url: str) -> None:
    async with (
        live(sqlite_url) as (database, feed),
        feed.follow(Position(0)) as one,
        feed.follow(Position(0)) as other,
    ):
        await write(database, 1, 2, 3)
        positions = [await followed(follower, up_to=3) for follower in (one, other)]

    assert positions == [[1, 2, 3]] * 2


async def test_changes_of_another_process_come_even_when_the_bell_is_lost(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "POLL_SECONDS", 0.01)

    async with (
        opened(database_url) as other_process,
        opened(database_url) as database,
        LiveFeed(database, LostBell()) as feed,
        feed.follow(feed.position) as follower,
    ):
        await write(other_process, 1)
        positions = await followed(follower, up_to=1)

    assert positions == [1]


async def test_what_the_process_commits_itself_is_passed_on_without_being_read(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def not_read(*_: object, **__: object) -> list[CommittedChange]:
        raise AssertionError("It was read.")

    async with live(database_url) as (database, feed), feed.follow(feed.position) as follower:
        monkeypatch.setattr(feed_module, "changes_after", not_read)
        await write(database, 1, 2)
        await write(database, 3)
        positions = await followed(follower, up_to=3)

    assert positions == [1, 2, 3]


@pytest.mark.parametrize(
    "error", [DatabaseUnavailableError("It is away."), RuntimeError("Nobody thought of this.")]
)
async def test_feed_lives_again_after_an_outage_whoever_writes_then(
    database_url: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def away(*_: object, **__: object) -> list[CommittedChange]:
        raise error

    monkeypatch.setattr(feed_module, "POLL_SECONDS", 0)
    bell = ToldBell()
    async with opened(database_url) as database, LiveFeed(database, bell) as feed:
        with monkeypatch.context() as outage:
            outage.setattr(feed_module, "changes_after", away)
            await bell.tell(0)
        assert not feed.alive
        await write(database, 1)
        await bell.tell(1)

        assert feed.alive


@pytest.mark.parametrize("later", [1, 5])
async def test_feed_of_a_database_that_was_put_back_is_not_the_one_that_was_followed(
    database_url: str, monkeypatch: pytest.MonkeyPatch, later: int
) -> None:
    async def away(*_: object, **__: object) -> list[CommittedChange]:
        raise DatabaseUnavailableError

    monkeypatch.setattr(feed_module, "POLL_SECONDS", 0)
    bell = ToldBell()
    async with opened(database_url) as database, LiveFeed(database, bell) as feed:
        start = feed.position
        await write(database, 1, 2, 3)
        await bell.tell(start + 3)
        async with feed.follow(feed.position) as follower:
            with monkeypatch.context() as outage:
                outage.setattr(feed_module, "changes_after", away)
                await bell.tell(0)
            await put_back(database, start + 1)
            await write(database, *range(later))
            await bell.tell(0)

            with pytest.raises(SlowConsumerError):
                await follower.next_changes(DEADLINE)
        assert feed.position == start + 1 + later
        async with feed.follow(feed.position) as follower:
            await write(database, 4)
            await bell.tell(0)
            assert await followed(follower, start + 2 + later) == [start + 2 + later]


async def test_feed_of_another_database_is_not_the_one_that_was_followed(database_url: str) -> None:
    bell = ToldBell()
    on_feed_replaced: list[int] = []

    async with opened(database_url) as database, LiveFeed(database, bell) as feed:
        with feed.subscribe(lambda _: None, lambda: on_feed_replaced.append(feed.position)):
            async with feed.follow(feed.position) as follower:
                async with database.write() as session:
                    await session.run(update(FeedHead).values(feed_id="another"))
                await write(database, 1)
                await bell.tell(0)

                with pytest.raises(SlowConsumerError):
                    await follower.next_changes(DEADLINE)
            await write(database, 2)
            await bell.tell(0)

        assert feed.position == 2
    assert on_feed_replaced == [1]


async def test_what_is_passed_on_is_what_others_read(database_url: str) -> None:
    told = [created("Kari"), updated("Kari", 1), deactivated("Kari", 2), created("Ola", 3)]

    async with live(database_url) as (database, feed), feed.follow(feed.position) as follower:
        await record_all(database, *told)
        passed_on: list[CommittedChange] = []
        async with asyncio.timeout(DEADLINE):
            while len(passed_on) < len(told):
                passed_on += await follower.next_changes(DEADLINE)
        async with database.read() as session:
            read = await changes_after(session, Position(0), limit=10)

    assert passed_on == read


async def test_more_changes_in_one_transaction_than_a_follower_may_wait_with_reach_it(
    database_url: str,
) -> None:
    count = feed_module.FOLLOWER_QUEUE + feed_module.BATCH

    async with live(database_url) as (database, feed), feed.follow(feed.position) as follower:
        following = asyncio.create_task(followed(follower, up_to=count))
        await write(database, *range(count))
        positions = await following

    assert positions == list(range(1, count + 1))


async def test_changes_of_two_processes_come_in_one_order_and_none_twice(
    database_url: str,
) -> None:
    async with (
        opened(database_url) as other_process,
        live(database_url) as (database, feed),
        feed.follow(feed.position) as follower,
    ):
        writers = [write(process, n) for n in range(40) for process in (database, other_process)]
        await asyncio.gather(*writers)
        # Rings for what the other process, which has no bell, was the last to write.
        await write(database, 99)
        positions = await followed(follower, up_to=81)

    assert positions == list(range(1, 82))


async def test_ring_for_more_than_there_is_does_not_ring_for_ever(sqlite_url: str) -> None:
    bell = FarAheadBell()

    async with opened(sqlite_url) as database, LiveFeed(database, bell) as feed:
        async with asyncio.timeout(DEADLINE):
            await bell.heard.wait()

        assert feed.position == 0


async def test_one_ring_is_enough_for_more_than_is_read_at_once(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "BATCH", 4)
    bell = ToldBell()

    async with (
        opened(sqlite_url) as other_process,
        opened(sqlite_url) as database,
        LiveFeed(database, bell) as feed,
    ):
        await write(other_process, *range(10))
        await bell.tell(10)

        assert feed.position == 10


async def test_whoever_left_is_told_nothing_more(sqlite_url: str) -> None:
    bell = ToldBell()
    told: list[CommittedChange] = []

    async with opened(sqlite_url) as database, LiveFeed(database, bell) as feed:
        with feed.subscribe(told.extend):
            async with feed.follow(feed.position) as follower:
                await write(database, 1)
                await bell.tell(1)
                assert members_of(await follower.next_changes(DEADLINE)) == [1]
        await write(database, 2)
        await bell.tell(2)

        assert list(await follower.next_changes(0)) == []
    assert members_of(told) == [1]


async def test_what_was_passed_on_is_not_kept(sqlite_url: str) -> None:
    bell = ToldBell()
    member = 987_654_321

    async with opened(sqlite_url) as database, LiveFeed(database, bell) as feed:
        await write(database, member)
        await bell.tell(1)

        assert feed.position == 1
        changes = [found for found in gc.get_objects() if isinstance(found, CommittedChange)]
        assert member not in members_of(changes)


async def test_patience_that_ends_first_brings_no_changes(sqlite_url: str) -> None:
    async with live(sqlite_url) as (_, feed), feed.follow(Position(0)) as follower:
        assert list(await follower.next_changes(0.01)) == []


async def test_follower_that_does_not_keep_up_is_told_so_and_others_are_not(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "FOLLOWER_QUEUE", 10)

    async with (
        live(database_url) as (database, feed),
        feed.follow(Position(0)) as slow,
        feed.follow(Position(0)) as quick,
    ):
        for member in range(1, 12):
            await write(database, member)
            await followed(quick, up_to=member)

        with pytest.raises(SlowConsumerError):
            await slow.next_changes(DEADLINE)
        await write(database, 12)
        assert await followed(quick, up_to=12) == [12]


async def test_cursor_is_good_only_for_its_own_feed_and_for_places_it_had(
    database: Database,
) -> None:
    await write(database, 1, 2)

    async with database.read() as session:
        here = (await feed_head(session)).feed_id
        await check_cursor(session, Cursor(here, Position(0)))
        await check_cursor(session, Cursor(here, Position(2)))
        for foreign in (
            Cursor("elsewhere", Position(1)),
            Cursor(here, Position(3)),
            Cursor(here, Position(-1)),
        ):
            with pytest.raises(ForeignCursorError):
                await check_cursor(session, foreign)


async def test_cursor_before_what_is_still_kept_has_expired(database: Database) -> None:
    await write(database, 1, 2)
    await clear(database)
    await write(database, 3)

    async with database.read() as session:
        here = (await feed_head(session)).feed_id
        with pytest.raises(CursorExpiredError):
            await check_cursor(session, Cursor(here, Position(1)))
        await check_cursor(session, Cursor(here, Position(2)))


async def test_where_nothing_is_kept_the_present_place_is_good_and_earlier_ones_have_expired(
    database: Database,
) -> None:
    await write(database, 1, 2)
    await clear(database)

    async with database.read() as session:
        head = await feed_head(session)
        await check_cursor(session, head)
        for gone in (0, 1):
            with pytest.raises(CursorExpiredError):
                await check_cursor(session, Cursor(head.feed_id, Position(gone)))


@pytest.mark.parametrize("later", [[], [4]], ids=["nothing is kept", "later ones are kept"])
async def test_follower_of_a_past_that_is_no_longer_kept_is_told_so(
    database: Database, later: list[int]
) -> None:
    await write(database, 1, 2, 3)
    await clear(database)
    if later:
        await write(database, *later)

    async with LiveFeed(database, LostBell()) as feed, feed.follow(Position(1)) as follower:
        with pytest.raises(SlowConsumerError):
            await follower.next_changes(DEADLINE)


async def test_follower_is_told_of_changes_that_went_before_the_feed_was_read(
    database_url: str,
) -> None:
    bell = ToldBell()

    async with (
        opened(database_url) as other_process,
        opened(database_url) as database,
        LiveFeed(database, bell) as feed,
        feed.follow(feed.position) as follower,
    ):
        await write(other_process, 1, 2, 3)
        await clear(other_process)
        await write(other_process, 4)
        await bell.tell(4)

        with pytest.raises(SlowConsumerError):
            await follower.next_changes(DEADLINE)
