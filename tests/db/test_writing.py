"""What a write session puts off, and what it holds."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import BigInteger, column, func, insert, make_url, select, table
from sqlalchemy.exc import DBAPIError

from db.database import Database
from db.driver.locks import LockName, member_lock, organization_lock
from db.errors import ConcurrentWriteError, SharedLockError
from db.publication import CommittedChange, NewChange
from db.queries.chapters.organizations import (
    OrganizationRecord,
    advance_organizations,
    organization_records,
)
from db.queries.members.member_records import MemberRecord, member_records, save_members
from db.sessions import WriteSession
from db.stamp import make_stamp
from db.tables.models import Organization, PortalStateRow, SyncLogEntry
from db.vocabulary import ActivationState, MemberId, PortalId
from sync.applying.handlers import HANDLERS
from sync.recording.deliveries import read_delivery
from sync.recording.record import record_deliveries
from sync.recording.worker import retry_due
from tests.faults.handlers import failing_handler
from tests.support.builders import EPOCH, body_of, created, deactivated, guid, organization, updated
from tests.support.opened import opened, row_counts, waiting
from tests.support.service import DEADLINE
from tests.sync.recorded_events import delivery, entries, world_of

OSLO = {"id": 1, "portal_id": "oslo", "name": None, "parent_id": None, "as_of": {}}


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as database:
        yield database


async def names(session: WriteSession) -> list[str | None]:
    return [row.name for row in await session.all(select(Organization.name))]


async def test_a_session_reads_what_it_wrote(database: Database) -> None:
    async with database.write() as session:
        await session.insert(Organization, [{**OSLO, "name": "HLF Oslo"}])

        assert await names(session) == ["HLF Oslo"]


async def test_statement_that_writes_a_taken_key_says_that_somebody_was_first(
    database: Database,
) -> None:
    state = {"source": "portal", "leased_until": EPOCH, "full_at": None, "delta_links": {}}
    async with database.write() as session:
        await session.run(insert(PortalStateRow).values(state))

    with pytest.raises(ConcurrentWriteError, match="same key"):
        async with database.write() as session:
            await session.run(insert(PortalStateRow).values(state))


async def test_a_row_can_be_written_again_and_again(database: Database) -> None:
    async with database.write() as session:
        await session.insert(Organization, [OSLO])
        await session.update(Organization, [{"row_id": 1, "name": "HLF"}])
        await session.update(Organization, [{"row_id": 1, "name": "HLF Oslo"}])

    async with database.write() as session:
        assert await names(session) == ["HLF Oslo"]
        await session.delete(Organization, [1])
        assert await names(session) == []


async def test_what_postgresql_undid_at_the_commit_is_not_taken_for_committed(
    on_postgres: Database,
) -> None:
    async def overlook_an_error() -> None:
        async with on_postgres.write() as session:
            await session.insert(Organization, [OSLO])
            with suppress(DBAPIError):
                await session.scalar(select(func.no_such_function()))

    with pytest.raises(RuntimeError, match="ROLLBACK"):
        await overlook_an_error()


async def test_a_taken_key_is_noticed_at_the_commit_at_the_latest(database: Database) -> None:
    async with database.write() as session:
        await session.insert(Organization, [OSLO])

    async def take_it_again() -> None:
        async with database.write() as session:
            session.append(NewChange(member_id=MemberId(1)))
            await session.insert(Organization, [{**OSLO, "id": 2}])

    with pytest.raises(ConcurrentWriteError):
        await take_it_again()
    async with database.write() as session:
        assert await names(session) == [None]


class LookingBell:
    """Looks, whenever something is said of a position, how far the feed is committed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.said: list[tuple[str, int, int]] = []

    def ring(self, position: int) -> None:
        self.look("bell", position)

    def listen(self, changes: Sequence[CommittedChange]) -> None:
        self.look("listener", changes[-1].position)

    def look(self, who: str, position: int) -> None:
        with closing(sqlite3.connect(self._file)) as connection:
            (head,) = connection.execute("SELECT position FROM feed_head").fetchone()
        self.said.append((who, position, head))


async def test_what_is_said_of_a_commit_is_said_when_it_is_done(sqlite_url: str) -> None:
    bell = LookingBell(Path(make_url(sqlite_url).database or ""))
    database = Database(sqlite_url, bell)
    with database.subscribe_to_commits(bell.listen):
        async with database.write() as session:
            session.append(NewChange(member_id=MemberId(1)))
            session.append(NewChange(member_id=MemberId(2)))
        await asyncio.sleep(0)
    with suppress(ZeroDivisionError):
        async with database.write() as session:
            session.append(NewChange(member_id=MemberId(3)))
            raise ZeroDivisionError
    async with database.write():
        pass
    await asyncio.sleep(0)
    await database.close()

    assert bell.said == [("listener", 2, 2), ("bell", 2, 2)]


async def test_senders_are_answered_before_followers_go_on(database: Database) -> None:
    order: list[str] = []
    committed, heard = asyncio.Event(), asyncio.Event()

    async def goes_on(event: asyncio.Event, name: str) -> None:
        await event.wait()
        order.append(name)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(goes_on(heard, "follower"))
        tasks.create_task(goes_on(committed, "sender"))
        await asyncio.sleep(0)
        with database.subscribe_to_commits(lambda _changes: heard.set()):
            async with database.write() as session:
                session.append(NewChange(member_id=MemberId(1)))
            committed.set()
            await heard.wait()

    assert order == ["sender", "follower"]


async def test_what_was_put_off_in_a_savepoint_is_undone_with_it(database: Database) -> None:
    async def in_vain(session: WriteSession) -> None:
        async with session.savepoint():
            await session.insert(Organization, [OSLO])
            raise ZeroDivisionError

    async with database.write() as session:
        with suppress(ZeroDivisionError):
            await in_vain(session)

        assert await names(session) == []


async def test_what_is_read_under_a_lock_is_what_the_one_before_committed(
    on_postgres: Database,
) -> None:
    lock = [organization_lock(PortalId("oslo"))]
    seen: list[str | None] = []

    async def second() -> None:
        async with on_postgres.write(exclusive=lock) as session:
            seen.extend(await names(session))

    async with asyncio.timeout(DEADLINE):
        async with on_postgres.write(exclusive=lock) as session:
            task = asyncio.create_task(second())
            while not await waiting(on_postgres):
                pass
            await session.insert(Organization, [{**OSLO, "name": "HLF Oslo"}])
        await task

    assert seen == ["HLF Oslo"]


async def test_a_lock_is_shared_by_many_or_held_by_one(on_postgres: Database) -> None:
    lock = [organization_lock(PortalId("oslo"))]
    order: list[str] = []

    async def alone() -> None:
        async with on_postgres.write(exclusive=lock) as session:
            session.require_locked(lock)
            order.append("alone")

    async with asyncio.timeout(DEADLINE):
        async with on_postgres.write(shared=lock) as one, on_postgres.write(shared=lock):
            with pytest.raises(SharedLockError):
                one.require_locked(lock)
            task = asyncio.create_task(alone())
            while not await waiting(on_postgres):
                pass
            order.append("shared")
        await task

    assert order == ["shared", "alone"]


async def test_events_wait_for_each_other_only_if_one_of_them_changes_their_chapter(
    on_postgres: Database,
) -> None:
    await record_deliveries(on_postgres, [delivery(created("Kari"), "evt_1")])
    home = {**organization(), "name": "HLF Oslo og omegn"}
    renamed = created("Åse", 1, organization=home)

    async with asyncio.timeout(DEADLINE):
        oslo = [organization_lock(PortalId(guid("HLF Oslo")))]
        async with on_postgres.write(shared=oslo):
            await record_deliveries(on_postgres, [delivery(created("Ola"), "evt_2")])
            renaming = asyncio.create_task(
                record_deliveries(on_postgres, [delivery(renamed, "evt_3")])
            )
            while not await waiting(on_postgres):
                assert not renaming.done()
        await renaming

    world = await world_of(on_postgres)
    assert world.chapter().name == "HLF Oslo og omegn"
    assert world.people.keys() == {guid(name) for name in ("Kari", "Ola", "Åse")}


async def as_read(session: WriteSession, name: str = "Kari") -> MemberRecord:
    (record,) = await session.find(member_records([PortalId(guid(name))]))
    return record


async def test_what_was_read_without_a_lock_is_not_written_over(on_postgres: Database) -> None:
    await record_deliveries(on_postgres, [delivery(created("Kari"), "evt_1")])
    before = await row_counts(on_postgres)

    async def renamed() -> None:
        async with on_postgres.write(optimistic=True) as session:
            kari = await as_read(session)
            kari.state_profile({"given_name": "Karianne"})
            later = updated("Kari", 1, profile={"phone": "22 33 44 55"})
            await record_deliveries(on_postgres, [delivery(later, "evt_2")])
            await session.insert(Organization, [{**OSLO, "id": 99}])
            await save_members(session, [kari], [])
            session.append(NewChange(member_id=kari.id))

    with pytest.raises(ConcurrentWriteError):
        await renamed()

    async with on_postgres.write() as session:
        kari = await as_read(session)
    after = await row_counts(on_postgres)
    assert (kari.profile.given_name, kari.profile.phone) == ("Kari", "22 33 44 55")
    assert after["organizations"] == before["organizations"]
    assert after["changes"] == before["changes"] + 1


async def test_stamps_are_not_moved_on_for_a_chapter_that_has_got_another_name(
    on_postgres: Database,
) -> None:
    await record_deliveries(on_postgres, [delivery(created("Kari"), "evt_1")])
    renamed = created("Åse", 1, organization={**organization(), "name": "HLF Oslo og omegn"})

    async def restated() -> None:
        async with on_postgres.write(optimistic=True) as session:
            known = await session.find(organization_records([PortalId(guid("HLF Oslo"))]))
            await record_deliveries(on_postgres, [delivery(renamed, "evt_2")])
            await advance_organizations(session, list(known.values()))
            session.append(NewChange())

    with pytest.raises(ConcurrentWriteError):
        await restated()


async def test_stamps_of_a_chapter_that_was_read_before_are_not_moved_back(
    on_postgres: Database,
) -> None:
    await record_deliveries(on_postgres, [delivery(created("Kari"), "evt_1")])
    oslo = PortalId(guid("HLF Oslo"))

    async def stamps() -> OrganizationRecord:
        async with on_postgres.write() as session:
            return (await session.find(organization_records([oslo])))[oslo]

    newer, older = await stamps(), await stamps()
    for record, minute in ((newer, 5), (older, 3)):
        at = EPOCH + timedelta(minutes=minute)
        stamp = make_stamp(at, sequence=0, deactivation=False, event_id="evt", source="portal")
        record.as_of = {"name": stamp, "parent": stamp}
    for record in (newer, older):
        async with on_postgres.write() as session:
            await advance_organizations(session, [record])

    assert (await stamps()).as_of == newer.as_of


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "shared"])
async def test_who_locks_nothing_beforehand_is_turned_away_by_who_does(
    on_postgres: Database, shared: bool
) -> None:
    lock = [organization_lock(PortalId("oslo"))]
    locks = ([], lock) if shared else (lock, [])

    async def write(alone: list[LockName], shared: list[LockName]) -> None:
        async with on_postgres.write(alone, shared, optimistic=True) as session:
            await session.insert(Organization, [OSLO])
            session.append(NewChange())

    async with asyncio.timeout(DEADLINE), on_postgres.write(*locks):
        with pytest.raises(ConcurrentWriteError):
            await write(lock, [])
    async with asyncio.timeout(DEADLINE), on_postgres.write(shared=lock):
        await write([], lock)

    assert (await row_counts(on_postgres))["organizations"] == 1


async def test_batches_of_one_process_wait_for_each_other_before_they_read(
    on_postgres: Database,
) -> None:
    await record_deliveries(on_postgres, [delivery(created("Kari"), "evt_1")])
    lock = [member_lock(PortalId(guid("Kari")))]

    async def numbered(name: str) -> None:
        async with on_postgres.write(exclusive=lock, optimistic=True) as session:
            kari = await as_read(session)
            kari.state_profile({"member_number": (kari.profile.member_number or "") + name})
            await save_members(session, [kari], [])
            session.append(NewChange(member_id=kari.id))

    await asyncio.gather(*(numbered(name) for name in "abc"))

    async with on_postgres.write() as session:
        kari = await as_read(session)
    assert kari.profile.member_number == "abc"


@pytest.mark.parametrize("body", [body_of(created("Kari")), b"{}"], ids=["event", "no event"])
async def test_repetitions_that_come_to_several_processes_at_once_are_all_counted(
    on_postgres: Database, postgres_url: str, body: bytes
) -> None:
    again = [read_delivery("portal", "evt_1", datetime.now(UTC), body)]
    async with opened(postgres_url) as elsewhere:
        await asyncio.gather(
            *(record_deliveries(process, again) for process in [on_postgres, elsewhere] * 10)
        )

    (entry,) = await entries(on_postgres)
    assert entry.deliveries == 20


async def test_a_batch_looks_up_its_own_events_however_long_the_log_has_become(
    postgres_url: str,
) -> None:
    # Goes wrong, if it does, on a PostgreSQL before 17: TEST_PG_BIN.
    async with opened(postgres_url) as database:
        for batch in range(30):
            keys = [f"{batch}_{n}" for n in range(10)]
            await record_deliveries(database, [delivery(created(key), key) for key in keys])

    # PostgreSQL tells what a connection did when that has ended.
    async with opened(postgres_url) as database, asyncio.timeout(DEADLINE):
        while await told(database, "pg_stat_user_tables", "n_tup_ins") < 300:
            pass
        read = await told(database, "pg_stat_user_indexes", "idx_tup_read")

    assert read < 300


async def told(database: Database, statistics: str, of: str) -> int:
    """The sum over the sync log's table, or its indexes."""
    number = func.sum(column(of, BigInteger)).cast(BigInteger)
    about = select(number).select_from(table(statistics))
    async with database.read() as session:
        return (
            await session.scalar(about.where(column("relname") == SyncLogEntry.__tablename__)) or 0
        )


async def test_what_has_to_be_read_again_is_read_under_a_lock(on_postgres: Database) -> None:
    async def read_what_it_wrote() -> None:
        async with on_postgres.write(optimistic=True) as session:
            await session.insert(Organization, [OSLO])
            await names(session)

    with pytest.raises(ConcurrentWriteError):
        await read_what_it_wrote()


async def test_locks_taken_in_any_order_of_their_names_never_wait_in_a_circle(
    on_postgres: Database,
) -> None:
    locks = [member_lock(PortalId(f"member {n}")) for n in range(20)]

    async def hold(order: list[LockName]) -> None:
        async with on_postgres.write(exclusive=order):
            pass

    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*(hold(locks[n:] + locks[:n]) for n in range(20)))


async def test_a_retry_and_another_delivery_of_the_same_events_do_not_stop_each_other(
    on_postgres: Database,
) -> None:
    now = datetime.now(UTC)
    events = [
        delivery(make(name, minute), f"evt_{name}_{minute}", received_at=now)
        for name in ("Kari", "Ola", "Åse")
        for minute, make in enumerate([created, updated, deactivated])
    ]
    with ExitStack() as broken:
        for type in HANDLERS:
            broken.enter_context(failing_handler(type))
        await record_deliveries(on_postgres, events)

    def soon() -> datetime:
        return now + timedelta(minutes=1)

    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(
            retry_due(on_postgres, soon),
            *(record_deliveries(on_postgres, events) for _ in range(3)),
        )

    assert {entry.deliveries for entry in await entries(on_postgres)} == {4}
    people = (await world_of(on_postgres)).people.values()
    assert [person.state for person in people] == [ActivationState.INACTIVE] * 3


async def test_two_processes_creating_the_same_chapters_both_succeed(database_url: str) -> None:
    sides = [[f"{side}{n}" for n in range(9)] for side in ("left", "right")]
    async with opened(database_url) as one, opened(database_url) as other:
        home = organization("HLF Oslo")
        batches = [
            [delivery(created(name, organization=home), f"evt_{name}") for name in side]
            for side in sides
        ]
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(
                record_deliveries(one, batches[0]), record_deliveries(other, batches[1])
            )
        world = await world_of(one)

    assert set(world.people) == {guid(name) for side in sides for name in side}
