"""Failed events are tried again, on schedule and by whoever is left to do it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from db.database import Database
from db.driver.locks import member_lock
from db.errors import DatabaseUnavailableError, SlowConsumerError
from db.feed.bell import BroadcastBell
from db.feed.change_feed import LiveFeed
from db.queries.keyset import PageRequest
from db.queries.log.attempt_records import lease_due
from db.queries.log.entries import EntryFilter, EntryRow, entry_page
from db.queries.members.visibility import EVERYTHING
from db.vocabulary import PortalId, SyncOutcome, SyncStatus
from sync.events import EventType
from sync.recording import worker
from sync.recording.deliveries import read_delivery
from sync.recording.record import record_deliveries
from sync.recording.retry import FIRST_DELAYS, GIVE_UP_AFTER, JITTER, LONGEST_DELAY, retry_delay
from sync.recording.worker import BATCH, LEASE, RetryWorker, retry_due
from tests.faults.handlers import failing_handler
from tests.support.builders import body_of, created, guid, role, role_updated
from tests.support.opened import opened, waiting
from tests.support.service import DEADLINE, Service
from tests.sync.recorded_events import changes_of, statuses_of

LOG = """{ syncLog(first: 1) { edges { node { status outcome attempts nextAttemptAt
    attemptHistory { trigger status outcome detail } } } } }"""
RECEIVED = datetime.now(UTC)
KARI = [member_lock(PortalId(guid("Kari")))]


class SilentBell:
    def ring(self, position: int) -> None:
        pass


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, SilentBell())
    yield database
    await database.close()


async def fail_once(database: Database, member: str = "Kari") -> None:
    """Records an event whose handler fails."""
    delivery = read_delivery("portal", f"evt_{member}", RECEIVED, body_of(created(member)))
    with failing_handler(EventType.MEMBERSHIP_CREATED):
        (receipt,) = await record_deliveries(database, [delivery])
    assert receipt.status is SyncStatus.FAILED


async def entries(database: Database) -> list[EntryRow]:
    async with database.read() as session:
        page = await entry_page(session, EVERYTHING, EntryFilter(), PageRequest(BATCH))
    return list(page.rows)


def long_after() -> datetime:
    """When everything that failed just now is due."""
    return datetime.now(UTC) + timedelta(minutes=1)


async def newest_entry(service: Service) -> dict[str, Any]:
    data = await service.data(LOG)
    entry: dict[str, Any] = data["syncLog"]["edges"][0]["node"]
    return entry


async def test_an_event_that_failed_is_applied_by_itself_and_its_history_tells(
    service: Service,
) -> None:
    with failing_handler(EventType.MEMBERSHIP_CREATED, times=1):
        answer = await service.deliver(created("Kari"))

        assert answer.status_code == 202
        async with asyncio.timeout(DEADLINE):
            while (entry := await newest_entry(service))["status"] != "SUCCESS":
                pass

    assert entry["outcome"] == "CREATED"
    assert entry["attempts"] == 2
    assert entry["nextAttemptAt"] is None
    assert entry["attemptHistory"] == [
        {
            "trigger": "DELIVERY",
            "status": "FAILED",
            "outcome": None,
            "detail": "The handler failed: HandlerBrokenError.",
        },
        {"trigger": "RETRY", "status": "SUCCESS", "outcome": "CREATED", "detail": None},
    ]
    members = await service.data("{ members { edges { node { displayName state } } } }")
    assert [edge["node"] for edge in members["members"]["edges"]] == [
        {"displayName": "Kari Nordmann", "state": "ACTIVE"}
    ]


async def test_a_failed_event_does_not_hold_up_later_events_of_the_same_member(
    service: Service,
) -> None:
    with failing_handler(EventType.MEMBERSHIP_CREATED):
        failed = await service.deliver(created("Kari", when=0))
        later = await service.deliver(role_updated("Kari", when=1, roles=[role("coordinator")]))

    assert failed.status_code == 202
    assert later.json()["outcome"] == "created"
    async with asyncio.timeout(DEADLINE):
        query = "{ members { edges { node { displayName accessLevel } } } }"
        expected = {"displayName": "Kari Nordmann", "accessLevel": "COORDINATOR"}
        while (await service.data(query))["members"]["edges"][0]["node"] != expected:
            pass


async def test_nothing_is_tried_before_it_is_due(database: Database) -> None:
    await fail_once(database)
    (entry,) = await entries(database)

    taken = await retry_due(database, lambda: entry.received_at)

    assert taken == 0
    assert (await entries(database))[0].attempts == 1


async def test_an_event_that_keeps_failing_waits_longer_and_longer_and_is_dead_in_the_end(
    database: Database,
) -> None:
    await fail_once(database)
    now = RECEIVED
    waits = []

    with failing_handler(EventType.MEMBERSHIP_CREATED):
        while (entry := (await entries(database))[0]).status is SyncStatus.FAILED:
            assert entry.next_attempt_at is not None
            waits.append(entry.next_attempt_at - now)
            now = max(entry.next_attempt_at, now)
            await retry_due(database, partial(max, now, RECEIVED))

    assert entry.status is SyncStatus.DEAD
    assert entry.next_attempt_at is None
    assert GIVE_UP_AFTER <= now - RECEIVED <= GIVE_UP_AFTER + timedelta(hours=1.2)
    # The first wait was told by the real clock.
    assert all(wait <= timedelta(hours=1.2) for wait in waits[1:])


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [(1, 1), (2, 5), (3, 15), (4, 30), (5, 60), (6, 120), (11, 3600), (100_000, LONGEST_DELAY)],
)
def test_the_delay_follows_the_schedule_within_a_fifth(attempts: int, seconds: int) -> None:
    delays = [retry_delay(attempts).total_seconds() for _ in range(200)]

    assert min(delays) >= seconds * (1 - JITTER)
    assert max(delays) <= seconds * (1 + JITTER)
    assert max(delays) > min(delays)
    assert FIRST_DELAYS == (1, 5, 15, 30)


async def test_what_a_retry_did_is_in_the_entry_and_told_to_the_feed(database: Database) -> None:
    await fail_once(database)

    await retry_due(database, long_after)

    (entry,) = await entries(database)
    assert (entry.status, entry.outcome) == (SyncStatus.SUCCESS, SyncOutcome.CREATED)
    assert entry.processed_at is not None
    assert entry.organization_id is not None
    assert {change.field for change in entry.field_changes} >= {"givenName", "organization"}
    first, told = await changes_of(database)
    assert (statuses_of(first), first.member_id) == ((None, SyncStatus.FAILED), None)
    assert statuses_of(told) == (SyncStatus.FAILED, SyncStatus.SUCCESS)
    assert (told.entry_id, told.member_id) == (entry.id, entry.member_id)
    assert told.facts.member_after is not None


async def test_a_leased_entry_is_nobody_elses_until_the_lease_ends(database: Database) -> None:
    await fail_once(database)
    now = long_after()
    async with database.write() as session:
        leased = await lease_due(session, now, now + LEASE, BATCH)

    meanwhile = await retry_due(database, lambda: now + LEASE / 2)
    afterwards = await retry_due(database, lambda: now + LEASE)

    assert len(leased) == 1
    assert meanwhile == 0
    assert afterwards == 1
    assert (await entries(database))[0].outcome is SyncOutcome.CREATED


async def test_several_workers_apply_every_event_once(database: Database) -> None:
    names = [f"Member {number}" for number in range(20)]
    for name in names:
        await fail_once(database, name)

    await asyncio.gather(*(retry_due(database, long_after) for _ in range(4)))

    found = await entries(database)
    assert {entry.status for entry in found} == {SyncStatus.SUCCESS}
    assert {entry.attempts for entry in found} == {2}


@asynccontextmanager
async def followed(database: Database) -> AsyncIterator[LiveFeed]:
    async with BroadcastBell("memory://") as bell, LiveFeed(database, bell) as feed:
        yield feed


@pytest.mark.parametrize(
    "error",
    [
        DatabaseUnavailableError("It is away."),
        SlowConsumerError("It did not keep up."),
        RuntimeError("Nobody thought of this."),
    ],
)
async def test_a_worker_goes_on_after_whatever_went_wrong(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(worker, "PAUSE_AFTER_ERROR_SECONDS", 0)
    failures = [error]

    def clock() -> datetime:
        if failures:
            raise failures.pop()
        return long_after()

    await fail_once(database)
    async with (
        asyncio.timeout(DEADLINE),
        followed(database) as feed,
        RetryWorker(database, feed, clock),
    ):
        while (await entries(database))[0].status is not SyncStatus.SUCCESS:
            pass


async def test_a_worker_that_is_stopped_finishes_the_attempt_under_way(postgres_url: str) -> None:
    async with opened(postgres_url) as database, followed(database) as feed:
        await fail_once(database)
        retries = RetryWorker(database, feed, long_after)
        async with asyncio.timeout(DEADLINE):
            async with database.write(exclusive=KARI):
                await retries.__aenter__()
                while not await waiting(database):
                    pass
                leaving = asyncio.create_task(retries.__aexit__())
                await asyncio.sleep(0)
            await leaving

        assert (await entries(database))[0].status is SyncStatus.SUCCESS


async def test_an_attempt_ends_before_its_lease_does(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LEASE", timedelta(seconds=0.5))
    async with opened(postgres_url) as database, asyncio.timeout(DEADLINE):
        await fail_once(database)
        async with database.write(exclusive=KARI):
            assert await retry_due(database, long_after) == 1
        assert (await entries(database))[0].attempts == 1

        assert await retry_due(database, lambda: long_after() + LEASE) == 1
        assert (await entries(database))[0].attempts == 2


async def test_an_attempt_whose_lease_another_worker_has_taken_over_is_not_made(
    postgres_url: str,
) -> None:
    async with (
        opened(postgres_url) as database,
        opened(postgres_url) as elsewhere,
        asyncio.timeout(DEADLINE),
    ):
        await fail_once(database)
        with failing_handler(EventType.MEMBERSHIP_CREATED):
            async with database.write(exclusive=KARI):
                one = asyncio.create_task(retry_due(database, long_after))
                while await waiting(database) < 1:
                    assert not one.done()
                other = asyncio.create_task(retry_due(elsewhere, lambda: long_after() + 2 * LEASE))
                while await waiting(database) < 2:
                    assert not other.done()
            assert (await one, await other) == (1, 1)

        assert (await entries(database))[0].attempts == 2
