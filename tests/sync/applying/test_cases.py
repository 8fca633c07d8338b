"""What becomes of members, chapters and roles, case by case."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import msgspec
import pytest

from db.database import Database
from db.feed.changes import changes_after, feed_head
from db.queries.chapters.roles import role_catalogue
from db.vocabulary import AccessLevel, ActivationState, SyncOutcome, SyncStatus
from sync.recording.record import record_deliveries
from tests.support.builders import (
    EPOCH,
    at,
    body_of,
    created,
    deactivated,
    guid,
    organization,
    reactivated,
    role,
    role_updated,
    updated,
)
from tests.support.opened import clear
from tests.sync.recorded_events import RECEIVED, delivery, entry, record, record_all, world_of

ACTIVE, INACTIVE = ActivationState.ACTIVE, ActivationState.INACTIVE


def minute(minutes: float) -> datetime:
    return EPOCH + timedelta(minutes=minutes)


# Unknown people


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (created("Kari"), ACTIVE),
        (updated("Kari"), ACTIVE),
        (role_updated("Kari", roles=[]), ACTIVE),
        (deactivated("Kari"), INACTIVE),
        (reactivated("Kari"), ACTIVE),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
async def test_event_about_an_unknown_person_creates_that_person(
    database: Database, event: dict[str, Any], state: ActivationState
) -> None:
    receipt = await record(database, event, "evt_1")

    assert (receipt.status, receipt.outcome) == (SyncStatus.SUCCESS, SyncOutcome.CREATED)
    assert (await world_of(database)).person("Kari").state is state


async def test_what_an_event_of_another_kind_tells_of_an_unknown_person_is_kept(
    database: Database,
) -> None:
    profile = {"givenName": "Kari", "email": "kari@example.no"}

    await record(
        database,
        role_updated("Kari", roles=[role("member")], organization=organization(), profile=profile),
        "evt_1",
    )

    kari = (await world_of(database)).person("Kari")
    assert kari.profile["email"] == "kari@example.no"
    assert kari.home == guid("HLF Oslo")


# Profile


async def test_absent_field_is_kept_and_null_clears_it(database: Database) -> None:
    profile = {"givenName": "Kari", "phone": "1", "email": "kari@example.no"}

    receipts = await record_all(
        database,
        created("Kari", profile=profile),
        updated("Kari", 1, profile={"phone": None}),
    )

    kari = (await world_of(database)).person("Kari")
    assert receipts[1].outcome is SyncOutcome.UPDATED
    assert kari.profile["phone"] is None
    assert kari.profile["email"] == "kari@example.no"


async def test_each_field_keeps_the_latest_statement_about_it(database: Database) -> None:
    await record_all(
        database,
        updated("Kari", 3, profile={"phone": "3"}),
        updated("Kari", 1, profile={"phone": "1", "givenName": "Kari"}),
        updated("Kari", 2, profile={"phone": None, "familyName": "Nordmann"}),
    )

    profile = (await world_of(database)).person("Kari").profile
    assert profile["phone"] == "3"
    assert profile["givenName"] == "Kari"
    assert profile["familyName"] == "Nordmann"


async def test_event_that_changes_nothing_is_a_success_that_says_unchanged(
    database: Database,
) -> None:
    receipts = await record_all(
        database,
        created("Kari", 0, profile={"phone": "1"}),
        updated("Kari", 1, profile={"phone": "1"}),
    )

    assert (receipts[1].status, receipts[1].outcome) == (SyncStatus.SUCCESS, SyncOutcome.UNCHANGED)
    assert (await entry(database, "evt_001")).field_changes == []


async def test_event_that_is_older_in_all_it_says_is_stale(database: Database) -> None:
    await record(database, updated("Kari", 5, profile={"phone": "5"}), "evt_2")
    before = await world_of(database)

    receipt = await record(database, updated("Kari", 1, profile={"phone": "1"}), "evt_1")

    assert (receipt.status, receipt.outcome) == (SyncStatus.SKIPPED, SyncOutcome.STALE)
    assert await world_of(database) == before


async def test_of_what_comes_together_nothing_is_stale_because_it_came_out_of_order(
    database: Database,
) -> None:
    events = [updated("Kari", n, profile={"phone": str(n)}) for n in (3, 1, 2)]

    receipts = await record_deliveries(
        database, [delivery(event, f"evt_{n}") for n, event in enumerate(events)]
    )

    assert [receipt.outcome for receipt in receipts] == [
        SyncOutcome.UPDATED,
        SyncOutcome.CREATED,
        SyncOutcome.UPDATED,
    ]


# Home organization


async def test_null_organization_clears_the_home_and_absent_keeps_it(database: Database) -> None:
    await record_all(database, created("Kari"), updated("Kari", 1, profile={"phone": "1"}))
    kept = (await world_of(database)).person("Kari").home

    await record(database, updated("Kari", 2, organization=None), "evt_9")

    assert kept == guid("HLF Oslo")
    assert (await world_of(database)).person("Kari").home is None


@pytest.mark.parametrize("make", [updated, deactivated, reactivated])
async def test_any_event_that_carries_an_organization_states_the_home(
    database: Database, make: Any
) -> None:
    await record_all(
        database, created("Kari"), make("Kari", 1, organization=organization("HLF Bodø"))
    )

    assert (await world_of(database)).person("Kari").home == guid("HLF Bodø")


async def test_older_home_does_not_replace_a_newer_one(database: Database) -> None:
    await record_all(
        database,
        updated("Kari", 5, organization=organization("HLF Bodø")),
        deactivated("Kari", 1, organization=organization("HLF Oslo")),
    )

    kari = (await world_of(database)).person("Kari")
    assert kari.home == guid("HLF Bodø")
    assert kari.state is INACTIVE


async def test_role_without_organization_follows_a_move(database: Database) -> None:
    await record_all(
        database,
        created("Kari", roles=[role("peer-mentor"), role("coordinator", "HLF Oslo")]),
        updated("Kari", 1, organization=organization("HLF Bodø")),
    )

    kari = (await world_of(database)).person("Kari")
    assert kari.home == guid("HLF Bodø")
    assert kari.roles == {
        ("peer-mentor", None, minute(0)),
        ("coordinator", guid("HLF Oslo"), minute(0)),
    }


async def test_move_between_two_chapters_of_the_same_name_is_a_change(database: Database) -> None:
    """There is more than one Nes in Norway."""
    here = {"id": guid("Nes in Akershus"), "name": "HLF Nes"}
    there = {"id": guid("Nes in Buskerud"), "name": "HLF Nes"}

    receipts = await record_all(
        database,
        created("Kari", organization=here),
        updated("Kari", 1, organization=there),
        role_updated("Kari", 2, roles=[{"code": "member", "organizationId": here["id"]}]),
        role_updated("Kari", 3, roles=[{"code": "member", "organizationId": there["id"]}]),
    )

    assert [receipt.outcome for receipt in receipts[1:]] == [SyncOutcome.UPDATED] * 3
    changes = [(await entry(database, f"evt_{n:03}")).field_changes for n in (1, 3)]
    assert [change.field for (change,) in changes] == ["organization", "roles"]


# Chapters


async def test_unknown_organization_is_a_stub_until_a_later_event_completes_it(
    database: Database,
) -> None:
    await record(database, role_updated("Kari", roles=[role("member", "HLF Oslo")]), "evt_1")
    stub = (await world_of(database)).chapter("HLF Oslo")

    await record(database, created("Ola", 1, organization=organization("HLF Oslo", "HLF")), "evt_2")

    world = await world_of(database)
    assert (stub.name, stub.parent) == (None, None)
    assert world.chapter("HLF Oslo").name == "HLF Oslo"
    assert world.chapter("HLF Oslo").parent == guid("HLF")
    assert world.chapter("HLF").name is None


async def test_older_name_of_an_organization_does_not_replace_a_newer_one(
    database: Database,
) -> None:
    renamed = {**organization("HLF Oslo", "HLF"), "name": "HLF Oslo og omegn"}

    await record_all(
        database,
        created("Kari", 5, organization=renamed),
        created("Ola", 1, organization=organization("HLF Oslo")),
    )

    chapter = (await world_of(database)).chapter("HLF Oslo")
    assert chapter.name == "HLF Oslo og omegn"
    assert chapter.parent == guid("HLF")


async def test_a_name_counts_from_when_it_was_last_stated_not_from_when_it_was_new(
    database: Database,
) -> None:
    renamed = {"id": guid("HLF Oslo"), "name": "HLF Oslo og omegn"}
    moved = {"id": guid("HLF Oslo"), "parentId": guid("HLF Viken")}
    for number, event in enumerate(
        [
            created("Kari", 0),
            created("Ola", 5),
            # Both are newer than the first statement and older than the last.
            created("Åse", 2, organization=renamed),
            created("Per", 3, organization=moved),
        ]
    ):
        await record(database, event, f"evt_{number}")

    chapter = (await world_of(database)).chapter("HLF Oslo")
    assert (chapter.name, chapter.parent) == ("HLF Oslo", None)


async def test_move_of_a_chapter_is_told_whatever_else_is_stated_with_it(
    database: Database,
) -> None:
    elsewhere = organization("HLF Bodø")
    await record_all(database, created("Kari"), created("Ola", organization=elsewhere))
    async with database.read() as session:
        before = await feed_head(session)

    moved = created("Kari", 1, organization=organization("HLF Oslo", "HLF"))
    restated = created("Ola", 2, organization=elsewhere)
    await record_deliveries(database, [delivery(moved, "evt_3"), delivery(restated, "evt_4")])

    async with database.read() as session:
        changes = await changes_after(session, before.position, limit=10)
    assert [change for change in changes if change.access_changed] != []


async def test_news_of_a_chapter_makes_a_success_of_what_is_old_news_of_the_member(
    database: Database,
) -> None:
    await record(database, created("Kari", 5, organization=organization("HLF Bodø")), "evt_1")

    late = deactivated("Kari", 1, organization=organization("HLF Oslo"))
    receipt = await record(database, late, "evt_2")

    assert (receipt.status, receipt.outcome) == (SyncStatus.SUCCESS, SyncOutcome.UNCHANGED)
    assert (await world_of(database)).chapter("HLF Oslo").name == "HLF Oslo"


# Roles


async def test_role_update_is_the_complete_set_of_roles(database: Database) -> None:
    await record_all(
        database,
        created("Kari", roles=[role("member"), role("peer-mentor")]),
        role_updated("Kari", 1, roles=[role("peer-mentor"), role("coordinator", "HLF Bodø")]),
    )

    assert (await world_of(database)).person("Kari").roles == {
        ("peer-mentor", None, minute(0)),
        ("coordinator", guid("HLF Bodø"), minute(1)),
    }


async def test_role_change_of_an_inactive_member_is_stored_and_they_stay_inactive(
    database: Database,
) -> None:
    receipts = await record_all(
        database,
        created("Kari"),
        deactivated("Kari", 1),
        role_updated("Kari", 2, roles=[role("coordinator")]),
    )

    kari = (await world_of(database)).person("Kari")
    assert receipts[2].outcome is SyncOutcome.UPDATED
    assert kari.state is INACTIVE
    assert {code for code, _, _ in kari.roles} == {"coordinator"}


async def test_unknown_role_code_joins_the_catalogue_as_member_with_a_warning(
    database: Database,
) -> None:
    receipt = await record(database, created("Kari", roles=[role("storyteller")]), "evt_1")
    again = await record(database, created("Ola", roles=[role("storyteller")]), "evt_2")

    assert "'storyteller'" in (receipt.detail or "")
    assert again.detail is None
    async with database.read() as session:
        levels = {role.code: role.access_level for role in await role_catalogue(session)}
    assert levels == {
        "member": AccessLevel.MEMBER,
        "peer-mentor": AccessLevel.PEER_MENTOR,
        "coordinator": AccessLevel.COORDINATOR,
        "organization-administrator": AccessLevel.ADMIN,
        "storyteller": AccessLevel.MEMBER,
    }


async def test_warning_names_ten_new_role_codes_and_counts_the_others(database: Database) -> None:
    roles = [role(f"new-{number:02}") for number in range(12)]

    receipt = await record(database, created("Kari", roles=[role("member"), *roles]), "evt_1")

    detail = receipt.detail or ""
    assert [code for code in (f"new-{n:02}" for n in range(12)) if code in detail] == [
        f"new-{number:02}" for number in range(10)
    ]
    assert detail.endswith("Further unknown role codes, added likewise: 2.")


# Activation


@pytest.mark.parametrize("make", [created, reactivated])
async def test_newer_creation_or_reactivation_makes_a_member_active_again(
    database: Database, make: Any
) -> None:
    receipts = await record_all(database, created("Kari"), deactivated("Kari", 1), make("Kari", 2))

    kari = (await world_of(database)).person("Kari")
    assert receipts[1].outcome is SyncOutcome.DEACTIVATED
    assert receipts[2].outcome is SyncOutcome.REACTIVATED
    assert kari.state is ACTIVE
    assert kari.state_changed_at == minute(2)


@pytest.mark.parametrize("make", [created, reactivated])
async def test_older_creation_or_reactivation_does_not(database: Database, make: Any) -> None:
    await record_all(database, deactivated("Kari", 2), make("Kari", 1))

    kari = (await world_of(database)).person("Kari")
    assert kari.state is INACTIVE
    assert kari.state_changed_at == minute(2)


@pytest.mark.parametrize(
    "event",
    [updated("Kari", 5, profile={"phone": "1"}), role_updated("Kari", 5, roles=[role("member")])],
    ids=["profile", "roles"],
)
async def test_nothing_else_makes_a_member_active_again(
    database: Database, event: dict[str, Any]
) -> None:
    await record_all(database, created("Kari"), deactivated("Kari", 1), event)

    assert (await world_of(database)).person("Kari").state is INACTIVE


@pytest.mark.parametrize(("first", "second"), [("evt_1", "evt_2"), ("evt_2", "evt_1")])
async def test_of_equal_times_the_deactivation_wins_whatever_the_ids(
    database: Database, first: str, second: str
) -> None:
    await record(database, deactivated("Kari", 1), first)
    await record(database, reactivated("Kari", 1), second)

    assert (await world_of(database)).person("Kari").state is INACTIVE


@pytest.mark.parametrize("ids", [("evt_1", "evt_2"), ("evt_2", "evt_1")])
async def test_of_equal_times_the_larger_event_id_wins(
    database: Database, ids: tuple[str, str]
) -> None:
    for event_id in ids:
        await record(database, updated("Kari", 1, profile={"phone": event_id}), event_id)

    assert (await world_of(database)).person("Kari").profile["phone"] == "evt_2"


# Since when


async def test_since_when_a_role_is_held_does_not_depend_on_the_order(database: Database) -> None:
    mentor, coordinator = [role("peer-mentor")], [role("coordinator")]
    history = [
        role_updated("Kari", 1, roles=mentor),
        role_updated("Kari", 2, roles=coordinator),
        role_updated("Kari", 3, roles=mentor),
        role_updated("Kari", 4, roles=mentor + coordinator),
    ]

    endings = [await _ending(database, order) for order in permutations(history)]

    assert all(ending == endings[0] for ending in endings)
    assert endings[0].roles == {
        ("peer-mentor", None, minute(3)),
        ("coordinator", None, minute(4)),
    }


async def test_roles_beyond_the_bound_that_were_applied_once_still_tell_since_when(
    database: Database,
) -> None:
    roles = [role("coordinator"), *(role(f"r{number}") for number in range(100))]
    applied = delivery(role_updated("Kari", 2, roles=roles[:1]), "evt_1")
    many = msgspec.structs.replace(
        applied, body=body_of(role_updated("Kari", 2, roles=roles[::-1]))
    )
    await record_deliveries(database, [many])
    await record(database, created("Ola", roles=roles[1:]), "evt_2")

    late = await record(database, role_updated("Kari", 1, roles=[role("coordinator")]), "evt_3")

    assert late.status is SyncStatus.SKIPPED, late.detail
    kari = (await world_of(database)).person("Kari")
    assert kari.roles == {("coordinator", None, minute(1))}


async def test_since_when_a_member_is_inactive_does_not_depend_on_the_order(
    database: Database,
) -> None:
    history = [
        deactivated("Kari", 1),
        reactivated("Kari", 2),
        deactivated("Kari", 3),
        deactivated("Kari", 4),
    ]

    endings = [await _ending(database, order) for order in permutations(history)]

    assert all(ending == endings[0] for ending in endings)
    assert endings[0].state_changed_at == minute(3)


async def _ending(database: Database, order: tuple[dict[str, Any], ...]) -> Any:
    await clear(database)
    for event in order:
        await record(database, event, f"evt_{event['timestamp']}")
    return (await world_of(database)).person("Kari")


# Clocks


async def test_time_too_far_ahead_counts_as_the_time_of_receipt(database: Database) -> None:
    ahead = updated("Kari", profile={"phone": "ahead"})
    ahead["timestamp"] = (RECEIVED + timedelta(minutes=6)).isoformat()
    later = delivery(
        updated("Kari", 24 * 60 + 1, profile={"phone": "later"}),
        "evt_2",
        received_at=RECEIVED + timedelta(minutes=1),
    )

    receipt = await record(database, ahead, "evt_1")
    await record_deliveries(database, [later])

    assert "five minutes ahead" in (receipt.detail or "")
    assert (await entry(database, "evt_1")).occurred_at == RECEIVED
    assert (await world_of(database)).person("Kari").profile["phone"] == "later"


async def test_time_a_little_ahead_counts_as_it_is(database: Database) -> None:
    event = updated("Kari", 24 * 60 + 5)

    receipt = await record(database, event, "evt_1")

    assert receipt.detail is None
    assert (await entry(database, "evt_1")).occurred_at == RECEIVED + timedelta(minutes=5)


async def test_time_in_another_zone_is_the_same_moment(database: Database) -> None:
    event = updated("Kari", profile={"phone": "1"})
    event["timestamp"] = "2024-11-01T10:30:00.123456+01:00"

    await record(database, event, "evt_1")

    recorded = (await entry(database, "evt_1")).occurred_at
    assert recorded == datetime(2024, 11, 1, 9, 30, 0, 123456, UTC)
    assert at(30) == "2024-11-01T09:30:00Z"


# What the log says


async def test_reason_of_a_deactivation_is_in_the_detail(database: Database) -> None:
    receipt = await record(database, deactivated("Kari", reason="moved abroad"), "evt_1")

    assert receipt.detail == "Reason given: moved abroad"


async def test_log_tells_what_changed_field_by_field(database: Database) -> None:
    await record_all(
        database,
        created("Kari", profile={"phone": "1"}),
        updated("Kari", 1, profile={"phone": "2"}, organization=organization("HLF Bodø")),
    )

    changes = {
        c.field: (c.before, c.after) for c in (await entry(database, "evt_001")).field_changes
    }
    assert changes == {"phone": ("1", "2"), "organization": ("HLF Oslo", "HLF Bodø")}
