"""The values of old events are removed, and what is applied afterwards ends as it would have."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from app.commands.cli import cli
from db.database import Database
from db.tables.models import SyncAttempt, SyncLogEntry
from db.vocabulary import SyncOutcome, SyncStatus
from sync.body_retention import (
    BODIES_REMOVED_AT_ONCE,
    BodyRetention,
    KeptBodies,
    bodies_to_remove,
    remove_some_bodies,
)
from sync.correcting.restoring import corrections_for
from sync.errors import CorrectionRefusedError
from sync.events import Event
from sync.parsing.parser import parse_event
from sync.parsing.reduction import reduced_body
from sync.recording.replay import ReplayRequest, replay_entries
from tests.support.builders import (
    body_of,
    created,
    deactivated,
    organization,
    organization_updated,
    reactivated,
    role,
    role_updated,
    updated,
)
from tests.support.opened import opened
from tests.support.service import DEADLINE
from tests.sync.recorded_events import entries, entry, record, record_all, world_of

KEEP = KeptBodies(timedelta(days=90))
LATER = timedelta(days=91)
SECRETS = ("Hemmelig", "kari@example.no", "+4790000000", "104233", "flyttet")
HISTORY = (
    created(
        "Kari",
        0,
        profile={
            "givenName": "Kari",
            "familyName": "Hemmelig",
            "email": "kari@example.no",
            "phone": "+4790000000",
            "memberNumber": "104233",
        },
        roles=[role("coordinator")],
    ),
    deactivated("Kari", 10, reason="Hun har flyttet."),
    reactivated("Kari", 20),
    role_updated("Kari", 30, roles=[role("coordinator"), role("member")]),
    updated("Kari", 40, profile={"email": None}, organization=organization("HLF Bergen")),
)


async def remove_all(database: Database, later: timedelta = LATER) -> int:
    total = 0
    while removed := await remove_some_bodies(database, KEEP, datetime.now(UTC) + later):
        total += removed
    return total


async def stored(database: Database) -> str:
    """Everything that the log holds, as text."""
    async with database.read() as session:
        rows = [*await session.all(select(*SyncLogEntry.__table__.columns))]
        rows += await session.all(select(*SyncAttempt.__table__.columns))
    # A row by itself shortens long values.
    return repr([tuple(row) for row in rows])


async def replay_all(database: Database, reason: str = "Just so.") -> None:
    ids = [one.id for one in reversed(await entries(database))]
    await replay_entries(database, ids, ReplayRequest("ops", reason), lambda: datetime.now(UTC))


async def test_values_go_and_names_of_fields_stay(database: Database) -> None:
    await record_all(database, *HISTORY)
    await replay_all(database, "Kari Hemmelig asked for it.")
    fields = [[one.field for one in entry.field_changes] for entry in await entries(database)]
    held = await stored(database)
    assert [secret for secret in SECRETS if secret not in held] == []

    assert await remove_all(database) == len(HISTORY)

    kept = await stored(database)
    assert [secret for secret in SECRETS if secret in kept] == []
    assert [[one.field for one in e.field_changes] for e in await entries(database)] == fields
    assert await remove_all(database) == 0


async def test_values_stay_for_as_long_as_they_are_kept(database: Database) -> None:
    await record_all(database, *HISTORY)
    before = await stored(database)

    assert await remove_all(database, timedelta(days=89)) == 0

    assert await stored(database) == before


async def test_replay_of_events_without_values_changes_nobody(database: Database) -> None:
    await record_all(database, *HISTORY)
    world = await world_of(database)
    await remove_all(database)

    await replay_all(database)

    assert await world_of(database) == world
    assert {one.status for one in await entries(database)} == {SyncStatus.SUCCESS}


@pytest.mark.parametrize(
    "late",
    [
        deactivated("Kari", 25),
        role_updated("Kari", 5, roles=[role("member")]),
        created("Kari", 15, profile={"phone": "+4711111111"}),
        updated("Kari", 1, profile={"email": "gammel@example.no"}),
    ],
)
async def test_late_event_does_the_same_as_if_nothing_had_been_removed(
    database: Database, late: dict[str, Any]
) -> None:
    await record_all(database, *HISTORY)
    await record(database, late, "late")
    # The same history of another person, whose values are gone when the late event comes.
    for number, event in enumerate(HISTORY):
        await record(database, _of_ola(event), f"ola_{number}")
    await remove_all(database)
    await record(database, _of_ola(late), "late of Ola")

    world = await world_of(database)
    told, told_of_ola = await entry(database, "late"), await entry(database, "late of Ola")
    assert world.person("Ola") == world.person("Kari")
    assert (told_of_ola.status, told_of_ola.outcome) == (told.status, told.outcome)


def _of_ola(event: dict[str, Any]) -> dict[str, Any]:
    ola = created("Ola")["data"]["member"]["id"]
    member = {**event["data"]["member"], "id": ola}
    return {**event, "data": {**event["data"], "member": member}}


async def test_repetition_is_one_after_the_values_are_gone_and_another_event_is_not(
    database: Database,
) -> None:
    await record_all(database, *HISTORY)
    await remove_all(database)

    again = await record(database, HISTORY[0], "evt_000")
    other = await record(database, created("Kari", 7), "evt_000")

    assert (again.status, again.conflict) == (SyncStatus.SUCCESS, False)
    assert other.conflict


async def test_events_that_state_nothing_keep_no_body(database: Database) -> None:
    await record(database, {"type": "unheard-of", "who": "Kari Hemmelig"}, "ignored")
    await record(database, {"type": "role-updated", "who": "Kari Hemmelig"}, "rejected")

    # RECEIVED is long ago, which is what counts for what was refused.
    assert await remove_all(database, timedelta(0)) == 1
    assert await remove_all(database) == 1
    await replay_all(database)

    assert "Hemmelig" not in await stored(database)
    assert (await entry(database, "ignored")).outcome is SyncOutcome.IGNORED
    assert (await entry(database, "rejected")).status is SyncStatus.REJECTED


async def test_undo_refuses_what_would_need_removed_values(database: Database) -> None:
    await record_all(database, *HISTORY[:1])
    await remove_all(database)
    await record(database, updated("Kari", 50, profile={"email": "feil@example.no"}), "wrong")
    wrong = await entry(database, "wrong")

    with pytest.raises(CorrectionRefusedError, match="no longer kept"):
        await corrections_for(database, [wrong.id], "A mistake.")


async def test_more_than_go_at_once_all_go_and_a_count_tells_before(database: Database) -> None:
    many = [created(f"Kari {number}") for number in range(BODIES_REMOVED_AT_ONCE + 2)]
    await record_all(database, *many)
    now = datetime.now(UTC) + LATER

    assert await bodies_to_remove(database, KEEP, now) == len(many)
    assert await remove_some_bodies(database, KEEP, now) == BODIES_REMOVED_AT_ONCE
    assert await remove_some_bodies(database, KEEP, now) == 2
    assert await bodies_to_remove(database, KEEP, now) == 0


async def test_service_removes_them_by_itself(sqlite_url: str) -> None:
    async with opened(sqlite_url) as database:
        await record_all(database, *HISTORY)

        def clock() -> datetime:
            return datetime.now(UTC) + LATER

        async with asyncio.timeout(DEADLINE), BodyRetention(database, KEEP, clock) as task:
            while task.removed < len(HISTORY):
                await bodies_to_remove(database, KEEP, clock())


@pytest.mark.parametrize(
    "event",
    [
        *HISTORY,
        created("Kari", organization="unreadable"),
        created("Kari", organization={"id": ""}),
        updated("Kari", organization=None),
        organization_updated("HLF Oslo", name="HLF Oslo", parentId=None, closed=True),
        {**updated("Kari"), "sequence": 7},
        {**updated("Kari"), "translation": {"readHere": True, "onlyIfKnown": True}},
        {**updated("Kari"), "translation": {"happenedAt": "2024-11-01T10:00:00Z"}},
        {
            **updated("Kari", state="INACTIVE", roles=[role("member")]),
            "type": "membership-stated",
        },
    ],
)
def test_what_is_kept_reads_as_the_same_statement(event: dict[str, Any]) -> None:
    said = parse_event(body_of(event))
    assert not isinstance(said, Event) or said.removed is None

    kept = parse_event(reduced_body(said))  # type: ignore[arg-type]  # none is of an unknown type

    assert kept.without_remarks() == (  # type: ignore[union-attr]
        said.without_values() if isinstance(said, Event) else said.without_remarks()  # type: ignore[union-attr]
    )


async def test_command_says_how_many_and_then_removes_them(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(sqlite_url) as database:
        # It came long before 30 days ago.
        await record(database, {"type": "role-updated", "who": "Kari Hemmelig"}, "rejected")
    monkeypatch.setenv("LIKEPERSON_DATABASE_URL", sqlite_url)

    outputs = [
        (await asyncio.to_thread(CliRunner().invoke, cli, ["retention", *options])).output
        for options in (["--dry-run"], [], ["--dry-run"])
    ]

    assert outputs == [
        "1 log entries would lose their bodies and values.\n",
        "1 log entries have lost their bodies and values.\n",
        "0 log entries would lose their bodies and values.\n",
    ]
