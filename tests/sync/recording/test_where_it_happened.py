"""An entry stays in the log of the chapter where it happened, with the time it first took. Over
HTTP, on both databases."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import update as update_rows

from db.database import Database
from db.migrate import migrate
from db.tables.models import SyncLogEntry
from db.vocabulary import SyncOutcome
from sync.events import EventType
from sync.recording.record import record_deliveries
from sync.recording.replay import ReplayRequest, replay_entries
from tests.faults.handlers import failing_handler
from tests.support.builders import (
    created,
    deactivated,
    guid,
    organization,
    role,
    role_updated,
    updated,
)
from tests.support.opened import opened
from tests.support.service import Service
from tests.sync.recorded_events import delivery, entries, entry

A, B, C = (organization(name) for name in ("HLF Oslo", "HLF Bergen", "HLF Bodø"))
LOG = """query { syncLog { edges { node {
    eventId status outcome detail processedAt lagMs organization { name } } } } }"""
REPLAY = """mutation { replayEvents(input: {filter: {}, reason: "a test"}) { __typename } }"""


async def log_of(service: Service, member: str | None = None) -> dict[str, dict[str, Any]]:
    """The entries that the member sees, by event id."""
    data = await service.data(LOG, member=member)
    return {edge["node"]["eventId"]: edge["node"] for edge in data["syncLog"]["edges"]}


async def places(service: Service) -> dict[str, str | None]:
    log = await log_of(service)
    return {
        id: node["organization"]["name"] if node["organization"] else None
        for id, node in log.items()
    }


async def test_entry_belongs_to_the_home_right_after_it_and_a_move_to_the_new_one(
    service: Service,
) -> None:
    await service.deliver(created("Kari", 0, organization=A), "evt_joined")
    await service.deliver(updated("Kari", 1, profile={"phone": "1"}), "evt_phone")
    await service.deliver(updated("Kari", 2, organization=B), "evt_moved")
    await service.deliver(role_updated("Kari", 3, roles=[role("member")]), "evt_roles")

    assert await places(service) == {
        "evt_joined": "HLF Oslo",
        "evt_phone": "HLF Oslo",
        "evt_moved": "HLF Bergen",
        "evt_roles": "HLF Bergen",
    }


async def test_late_event_belongs_to_the_home_of_its_own_time(service: Service) -> None:
    await service.deliver(created("Kari", 1, organization=A), "evt_joined")
    await service.deliver(updated("Kari", 5, organization=B), "evt_moved")
    await service.deliver(updated("Kari", 9, organization=C), "evt_moved_again")

    await service.deliver(updated("Kari", 0, profile={"phone": "0"}), "evt_0")
    await service.deliver(updated("Kari", 3, profile={"phone": "3"}), "evt_3")
    await service.deliver(role_updated("Kari", 7, roles=[role("member")]), "evt_7")
    await service.deliver(updated("Kari", 6, organization=A), "evt_stale_move")

    found = await places(service)
    assert found["evt_0"] is None
    assert found["evt_3"] == "HLF Oslo"
    assert found["evt_7"] == "HLF Bergen"
    assert found["evt_stale_move"] == "HLF Oslo"


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_events_that_arrive_together_belong_to_the_homes_of_their_times(
    database: Database, order: tuple[int, ...]
) -> None:
    events = [
        created("Kari", 0, organization=A),
        updated("Kari", 1, profile={"phone": "1"}),
        updated("Kari", 2, organization=B),
    ]

    await record_deliveries(database, [delivery(events[index], f"evt_{index}") for index in order])

    found = {one.event_id: one.organization_id for one in await entries(database)}
    assert found["evt_0"] == found["evt_1"] != found["evt_2"]


async def test_replay_carries_no_entry_into_another_chapter_and_touches_no_time(
    service: Service,
) -> None:
    administrator = [role("organization-administrator")]
    await service.tell(
        created("Berit", organization={**B, "parentId": guid("HLF")}, roles=administrator)
    )
    await service.deliver(created("Kari", 0, organization=A), "evt_joined")
    await service.deliver(deactivated("Kari", 1, reason="innlagt psykiatrisk avdeling"), "evt_left")
    await service.deliver(created("Kari", 2, organization=B), "evt_joined_again")
    before = await log_of(service)

    await service.data(REPLAY)

    assert await log_of(service) == before
    seen = await log_of(service, member="Berit")
    assert {"evt_joined", "evt_left"}.isdisjoint(seen)
    assert "evt_joined_again" in seen


async def test_retry_belongs_to_the_home_of_its_own_time(database: Database) -> None:
    await record_deliveries(database, [delivery(created("Kari", 0, organization=A), "evt_0")])
    with failing_handler(EventType.MEMBERSHIP_UPDATED):
        await record_deliveries(
            database, [delivery(updated("Kari", 1, profile={"phone": "1"}), "evt_1")]
        )
    failed = await entry(database, "evt_1")
    await record_deliveries(database, [delivery(updated("Kari", 2, organization=B), "evt_2")])

    await replay_all(database)

    first, retried, last = [await entry(database, f"evt_{number}") for number in range(3)]
    assert failed.organization_id == first.organization_id
    assert retried.outcome is SyncOutcome.UPDATED
    assert retried.organization_id == first.organization_id != last.organization_id
    assert retried.processed_at is not None


async def test_entries_that_replays_have_moved_are_put_right(database_url: str) -> None:
    """What the version before did: homes, times and details of replayed entries were replaced."""
    async with opened(database_url) as database:
        for number, event in enumerate(
            [
                created("Kari", 0, organization=A, roles=[role("storyteller")]),
                deactivated("Kari", 1),
                created("Kari", 2, organization=B),
            ]
        ):
            await record_deliveries(database, [delivery(event, f"evt_{number}")])
        right = await entries(database)
        await replay_all(database)
        async with database.write() as session:
            bergen = max(one.organization_id or 0 for one in right)
            late = datetime.now(UTC) + timedelta(days=1)
            moved = {"organization_id": bergen, "processed_at": late, "detail": None}
            await session.run(update_rows(SyncLogEntry).values(**moved))
    await migrate(database_url, "0010")

    await migrate(database_url)

    async with opened(database_url) as database:
        found = await entries(database)
        assert [
            (one.event_id, one.organization_id, one.processed_at, one.detail) for one in found
        ] == [(one.event_id, one.organization_id, one.processed_at, one.detail) for one in right]


async def replay_all(database: Database) -> None:
    ids = [found.id for found in await entries(database)]
    await replay_entries(database, ids, ReplayRequest("a test"), lambda: datetime.now(UTC))


async def test_chapters_of_the_same_time_in_many_requests_at_once(service: Service) -> None:
    """Whatever shares a transaction, each entry stays where it happened."""
    await service.deliver(created("Kari", 0, organization=A), "evt_joined")
    events = [(f"evt_{n}", updated("Kari", n, profile={"phone": str(n)})) for n in range(1, 9)]
    moves = [("evt_moved", updated("Kari", 4.5, organization=B))]

    await asyncio.gather(*(service.deliver(event, id) for id, event in [*events, *moves]))

    found = await places(service)
    assert {found[f"evt_{n}"] for n in range(5, 9)} <= {"HLF Oslo", "HLF Bergen"}
    assert {found[f"evt_{n}"] for n in range(1, 5)} == {"HLF Oslo"}
    assert found["evt_moved"] == "HLF Bergen"
