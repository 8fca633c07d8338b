"""Replay, through the API: by ids and by filter, dry and for good, with its history."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from db.database import Database, SilentBell
from db.queries.chapters.roles import insert_roles
from db.vocabulary import SyncOutcome, SyncStatus
from sync.errors import RejectedError
from sync.events import EventType
from sync.recording.record import record_deliveries
from sync.recording.replay import Replayed, ReplayRequest, replay_entries
from tests.faults.handlers import failing_handler
from tests.support.builders import EPOCH, created, deactivated, role, role_updated, updated
from tests.support.opened import opened, row_counts, waiting
from tests.support.service import DEADLINE, Service
from tests.sync.recorded_events import changes_of, delivery, entries, entry, record, statuses_of

REPLAY = """mutation($input: ReplayEventsInput!) { replayEvents(input: $input) { __typename
    ... on ReplayEventsSuccess { dryRun matched changed outcomes { outcome count }
        statuses { status count } }
    ... on UserError { code message path } } }"""
LOG = """query($filter: SyncLogFilter) { syncLog(filter: $filter) { edges { node { id eventType
    status outcome attempts attemptHistory { trigger actor reason outcome } } } } }"""
MEMBERS = """{ members { edges { node { portalId givenName state updatedAt
    roles { role { code } } } } } }"""


async def replay(service: Service, *, member: str | None = None, **input: Any) -> dict[str, Any]:
    data = await service.data(REPLAY, member=member, input=input)
    answer: dict[str, Any] = data["replayEvents"]
    return answer


async def log(service: Service, **filter: Any) -> list[dict[str, Any]]:
    data = await service.data(LOG, filter=filter)
    return [edge["node"] for edge in data["syncLog"]["edges"]]


async def test_replaying_everything_changes_no_member_and_keeps_what_the_log_tells(
    service: Service,
) -> None:
    await service.tell(
        created("Kari", 0),
        updated("Kari", 1, profile={"givenName": "Kåre"}),
        role_updated("Kari", 2, roles=[role("coordinator")]),
        deactivated("Kari", 3),
    )
    members = await service.data(MEMBERS)
    told = [(entry["eventType"], entry["outcome"]) for entry in await log(service)]

    answer = await replay(service, filter={})

    assert answer["matched"] == 4
    assert answer["changed"] == 0
    assert await service.data(MEMBERS) == members
    after = await log(service)
    assert [(entry["eventType"], entry["outcome"]) for entry in after] == told
    assert {entry["attempts"] for entry in after} == {2}


async def test_the_history_tells_who_asked_and_why(service: Service) -> None:
    await service.tell(created("Kari"))
    (entry,) = await log(service)

    await replay(service, ids=[entry["id"]], reason="Asked by the chapter")

    (entry,) = await log(service)
    assert entry["attemptHistory"] == [
        {"trigger": "DELIVERY", "actor": None, "reason": None, "outcome": "CREATED"},
        {
            "trigger": "REPLAY",
            "actor": "operator test",
            "reason": "Asked by the chapter",
            "outcome": "UNCHANGED",
        },
    ]


async def test_the_first_attempt_is_told_once_however_often_there_is_a_replay(
    service: Service,
) -> None:
    await service.tell(created("Kari"))

    for _ in range(2):
        await replay(service, filter={})

    (entry,) = await log(service)
    triggers = [attempt["trigger"] for attempt in entry["attemptHistory"]]
    assert triggers == ["DELIVERY", "REPLAY", "REPLAY"]


async def test_a_replay_that_fails_tells_no_longer_what_the_event_did_before(
    service: Service,
) -> None:
    await service.tell(created("Kari"))

    with failing_handler(EventType.MEMBERSHIP_CREATED):
        await replay(service, filter={})
        (entry,) = await log(service)

    assert (entry["status"], entry["outcome"]) == ("FAILED", None)


async def test_a_dry_run_of_what_would_change_a_member_changes_nothing(database: Database) -> None:
    with failing_handler(EventType.MEMBERSHIP_CREATED):
        await record(database, created("Kari"), "evt_1")
    before = await row_counts(database), await entry(database, "evt_1")

    replayed = await replay_all(database, dry_run=True)

    assert (replayed.changed, replayed.statuses) == (1, {SyncStatus.SUCCESS: 1})
    assert (await row_counts(database), await entry(database, "evt_1")) == before


async def test_what_was_rejected_and_is_an_event_after_a_fix_is_told_whole(
    database: Database,
) -> None:
    await record_as_rejected(database, created("Kari"))

    await replay_all(database)

    now = await entry(database, "evt_1")
    assert (now.status, now.outcome) == (SyncStatus.SUCCESS, SyncOutcome.CREATED)
    assert (now.event_type, now.occurred_at) == (EventType.MEMBERSHIP_CREATED.value, EPOCH)
    assert (now.attempts, now.detail) == (1, None)
    assert now.processed_at is not None
    assert now.member_id is not None
    assert now.organization_id is not None
    assert {change.field for change in now.field_changes} >= {"givenName", "organization", "roles"}
    _, told = await changes_of(database)
    assert (told.entry_id, told.member_id) == (now.id, now.member_id)
    assert (told.facts.member_before is None, told.facts.member_after is None) == (True, False)
    assert statuses_of(told) == (SyncStatus.REJECTED, SyncStatus.SUCCESS)


async def test_a_replay_begins_again_when_another_process_added_the_same_role(
    postgres_url: str,
) -> None:
    async with opened(postgres_url) as database, asyncio.timeout(DEADLINE):
        await record_as_rejected(database, created("Kari", roles=[role("storyteller")]))
        async with database.write() as elsewhere:
            await insert_roles(elsewhere, ["storyteller"])
            await elsewhere.scalar(select(1))
            replaying = asyncio.create_task(replay_all(database))
            while not await waiting(database):
                assert not replaying.done()
        replayed = await replaying

    assert replayed.statuses == {SyncStatus.SUCCESS: 1}


async def record_as_rejected(database: Database, event: dict[str, Any]) -> None:
    error = RejectedError("It was no event then.")
    told = msgspec.structs.replace(delivery(event, "evt_1"), content=error)
    await record_deliveries(database, [told])


async def replay_all(database: Database, *, dry_run: bool = False) -> Replayed:
    ids = [found.id for found in await entries(database)]
    return await replay_entries(
        database, ids, ReplayRequest("a test", dry_run=dry_run), lambda: datetime.now(UTC)
    )


async def test_a_dry_run_tells_what_would_change_and_changes_nothing(service: Service) -> None:
    with failing_handler(EventType.MEMBERSHIP_CREATED):
        assert (await service.deliver(created("Kari"))).status_code == 202
        before = await log(service)
        # Still broken for the worker; the dry run would fail as well.
        broken = await replay(service, filter={}, dryRun=True)
        after = await log(service)

    assert broken["statuses"] == [{"status": "FAILED", "count": 1}]
    assert before[0]["id"] == after[0]["id"]
    assert await service.data(MEMBERS) == {"members": {"edges": []}}


async def test_a_rejected_event_can_be_replayed_and_stays_rejected_while_it_is_no_event(
    service: Service,
) -> None:
    assert (await service.deliver(b"{}")).status_code == 422

    answer = await replay(service, filter={"status": ["REJECTED"]})

    assert answer["statuses"] == [{"status": "REJECTED", "count": 1}]
    (entry,) = await log(service)
    assert (entry["status"], entry["attempts"]) == ("REJECTED", 1)
    assert [attempt["trigger"] for attempt in entry["attemptHistory"]] == ["REPLAY"]


async def test_a_replay_needs_either_ids_or_a_filter(service: Service) -> None:
    answer = await replay(service, reason="just so")

    assert answer["__typename"] == "ReplaySelectionError"
    assert answer["code"] == "REPLAY_SELECTION"
    assert answer["path"] == ["input", "ids"]


@pytest.mark.parametrize("chosen_by", ["ids", "filter"])
async def test_events_that_are_too_many_are_refused_and_none_of_them_is_replayed(
    service: Service, monkeypatch: pytest.MonkeyPatch, chosen_by: str
) -> None:
    monkeypatch.setattr("schema.mutations.replay_events.MAX_EVENTS", 2)
    await service.tell(created("Kari"), created("Per"))

    async def replay_all_of_them() -> dict[str, Any]:
        if chosen_by == "filter":
            return await replay(service, filter={})
        return await replay(service, ids=[entry["id"] for entry in await log(service)])

    allowed = await replay_all_of_them()
    await service.tell(created("Ola"))
    before = await log(service)
    refused = await replay_all_of_them()

    assert allowed["matched"] == 2
    assert (refused["code"], refused["path"]) == ("REPLAY_SELECTION", ["input", chosen_by])
    limit = "the limit is 2" if chosen_by == "ids" else "More than 2 events match"
    assert limit in refused["message"]
    assert await log(service) == before


async def test_no_ids_are_no_events(service: Service) -> None:
    await service.tell(created("Kari"))

    answer = await replay(service, ids=[])

    assert answer["matched"] == 0
    (entry,) = await log(service)
    assert entry["attempts"] == 1


async def test_an_administrator_replays_only_what_they_see(service: Service) -> None:
    bergen = {"id": "bergen", "name": "HLF Bergen", "parentId": None}
    admin = [role("organization-administrator")]
    await service.tell(
        created("Admin", roles=admin), created("Other", organization=bergen), created("Kari")
    )

    answer = await replay(service, member="Admin", filter={})

    assert answer["matched"] == 2


async def test_somebody_who_is_no_administrator_may_not_replay(service: Service) -> None:
    await service.tell(created("Kari", roles=[role("coordinator")]))

    answer = await service.ask(REPLAY, member="Kari", input={"filter": {}})

    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    (entry,) = await log(service)
    assert entry["attempts"] == 1


async def test_an_event_that_is_replayed_after_a_month_is_shown_like_any_other(
    service: Service,
) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=31)
    database = Database(service.settings.database_url, SilentBell())
    with failing_handler(EventType.MEMBERSHIP_CREATED):
        await record_deliveries(database, [delivery(created(), "evt", received_at=long_ago)])
    await database.close()

    await replay(service, filter={})

    data = await service.data("{ syncLog { edges { node { status lagMs } } } }")
    # As much as an Int can hold, which is about 25 days.
    node = {"status": "SUCCESS", "lagMs": 2**31 - 1}
    assert [edge["node"] for edge in data["syncLog"]["edges"]] == [node]
