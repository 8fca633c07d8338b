"""A handler that always fails, fails twice, or whose member somebody else has locked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import httpx
import pytest

from app.server import running
from app.settings import Settings
from db.database import Database
from db.vocabulary import SyncOutcome, SyncStatus
from sync.events import EventType
from sync.recording.record import record_deliveries
from sync.recording.worker import retry_due
from tests.faults.evidence import evidence
from tests.faults.handlers import failing_handler
from tests.faults.process import PATIENCE, until
from tests.support.builders import created, guid, role, role_updated, updated
from tests.support.opened import opened
from tests.support.service import Service
from tests.sync.recorded_events import delivery, entry, world_of


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as database:
        yield database


async def test_an_event_whose_handler_always_fails_spoils_nothing_else(database: Database) -> None:
    batch = [
        delivery(created("Kari"), "evt_1", received_at=datetime.now(UTC)),
        delivery(role_updated("Ola", roles=[role("coordinator")]), "evt_2"),
        delivery(created("Åse"), "evt_3", received_at=datetime.now(UTC)),
    ]

    with failing_handler(EventType.MEMBERSHIP_CREATED):
        receipts = await record_deliveries(database, batch)
        tried = await retry_due(database, lambda: datetime.now(UTC) + timedelta(minutes=1))

    assert [receipt.status for receipt in receipts] == [
        SyncStatus.FAILED,
        SyncStatus.SUCCESS,
        SyncStatus.FAILED,
    ]
    assert tried == 2
    assert (await entry(database, "evt_1")).attempts == 2
    assert set((await world_of(database)).people) == {guid("Ola")}


async def test_an_event_whose_handler_fails_twice_is_applied_the_third_time(
    database: Database,
) -> None:
    event = delivery(created("Kari"), "evt_1", received_at=datetime.now(UTC))
    with failing_handler(EventType.MEMBERSHIP_CREATED, times=2):
        await record_deliveries(database, [event])
        for minutes in (1, 2):
            later = datetime.now(UTC) + timedelta(minutes=minutes)
            await retry_due(database, partial(max, later, later))

    found = await entry(database, "evt_1")
    assert (found.status, found.outcome) == (SyncStatus.SUCCESS, SyncOutcome.CREATED)
    assert found.attempts == 3
    assert found.next_attempt_at is None
    assert (await world_of(database)).person("Kari").profile["givenName"] == "Kari"


@asynccontextmanager
async def locked(url: str, statement: str, *args: Any) -> AsyncIterator[None]:
    """Somebody else's session holds the rows of the statement."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        async with connection.transaction():
            # As an UPDATE locks them: log entries that refer to the rows can still be inserted.
            assert await connection.fetch(f"{statement} FOR NO KEY UPDATE", *args)
            yield
    finally:
        await connection.close(timeout=5)


async def test_an_event_of_a_locked_member_is_put_off_and_its_neighbours_are_applied(
    postgres_url: str,
) -> None:
    settings = Settings(database_url=postgres_url, port=0, log_level="error")
    names = [f"Member {number}" for number in range(8)]
    async with running(settings) as url, httpx.AsyncClient(timeout=PATIENCE) as http:
        service = Service(url, http, settings)
        await service.tell(*(created(name) for name in names))
        member = "SELECT id FROM members WHERE portal_id = $1"
        async with locked(postgres_url, member, guid("Member 4")):
            answers = await asyncio.gather(
                *(
                    service.deliver(updated(n, profile={"phone": "+47 1"}), f"evt_{n[-1]}")
                    for n in names
                )
            )

        async def is_applied() -> bool:
            entries = (await evidence(postgres_url)).entries
            return all(e.status is SyncStatus.SUCCESS for e in entries)

        await until(is_applied)
        found = await evidence(postgres_url)

    assert [answer.status_code for answer in answers] == [200] * 4 + [202] + [200] * 3
    assert answers[4].json()["status"] == "failed"
    (put_off,) = [e for e in found.entries if e.event_id == "evt_4"]
    assert put_off.attempts > 1
    assert found.world.person("Member 4").profile["phone"] == "+47 1"
