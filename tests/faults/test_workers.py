"""A retry worker is killed while it holds leases; another one takes over."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest

from db.vocabulary import SyncStatus
from sync.events import EventType
from sync.recording.deliveries import read_delivery
from sync.recording.record import record_deliveries
from sync.recording.worker import LEASE, retry_due
from tests.faults.evidence import evidence
from tests.faults.handlers import failing_handler
from tests.faults.process import Program, until
from tests.support.builders import body_of, created
from tests.support.opened import opened

EVENTS = 60
"""More than a worker takes at a time."""


@pytest.fixture
async def failed_url(postgres_url: str) -> str:
    """A database with events that failed before, and are due in about a second."""
    deliveries = [
        read_delivery("portal", f"evt_{n}", datetime.now(UTC), body_of(created(f"Member {n}")))
        for n in range(EVENTS)
    ]
    with failing_handler(EventType.MEMBERSHIP_CREATED):
        async with opened(postgres_url) as database:
            await record_deliveries(database, deliveries)
    return postgres_url


@asynccontextmanager
async def commits_held_up(url: str) -> AsyncIterator[None]:
    """What takes a lease commits, what applies an event waits: for the head of the feed."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        async with connection.transaction():
            await connection.execute("SELECT position FROM feed_head FOR UPDATE")
            yield
    finally:
        await connection.close(timeout=5)


async def leased(url: str) -> int:
    """How many events are leased at the moment."""
    soon = datetime.now(UTC) + LEASE / 2
    found = await evidence(url)
    return sum(1 for e in found.entries if e.next_attempt_at and e.next_attempt_at > soon)


async def kill_while_it_holds_leases(worker: Program, url: str) -> None:
    async def holds_leases() -> bool:
        return await leased(url) > 0

    async with commits_held_up(url):
        await until(holds_leases)
        worker.kill()


async def check_applied_once(url: str) -> None:
    found = await evidence(url)
    applied = Counter(
        change.entry_id
        for change in found.changes
        if change.facts.entry_after and change.facts.entry_after.status is SyncStatus.SUCCESS
    )
    assert {entry.status for entry in found.entries} == {SyncStatus.SUCCESS}
    assert {entry.attempts for entry in found.entries} == {2}
    assert {applied[entry.id] for entry in found.entries} == {1}
    assert len(found.world.people) == EVENTS


async def test_the_leases_of_a_killed_worker_run_out_and_another_one_takes_over(
    failed_url: str, tmp_path: Path
) -> None:
    with Program(failed_url, tmp_path, "worker") as worker:
        worker.start()
        await kill_while_it_holds_leases(worker, failed_url)
    held = await leased(failed_url)

    async with opened(failed_url) as database:
        before = await retry_due(database, lambda: datetime.now(UTC) + timedelta(seconds=5))
        after = 0
        while taken := await retry_due(database, lambda: datetime.now(UTC) + 2 * LEASE):
            after += taken

    assert held > 0
    assert before == EVENTS - held
    assert after == held
    await check_applied_once(failed_url)


@pytest.mark.usefixtures("long_only")
async def test_a_second_worker_applies_what_was_leased_to_the_killed_one(
    failed_url: str, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    with (
        Program(failed_url, tmp_path, "worker") as worker,
        Program(failed_url, tmp_path / "other", "worker") as other,
    ):
        worker.start()
        other.start()
        await kill_while_it_holds_leases(worker, failed_url)

        async def all_are_applied() -> bool:
            entries = (await evidence(failed_url)).entries
            return all(entry.status is SyncStatus.SUCCESS for entry in entries)

        await until(all_are_applied)

        assert other.process.poll() is None
        assert other.complaints() == []
    await check_applied_once(failed_url)
