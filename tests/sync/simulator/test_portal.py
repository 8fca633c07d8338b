"""The portal is repeatable, plausible, and tells everything it does."""

from collections import Counter
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import msgspec
import pytest

from sync.simulator.event_bodies import PortalEvent
from sync.simulator.portal import Portal
from sync.simulator.register import PortalMember
from tests.sync.simulator.conftest import SteppingClock
from tests.sync.simulator.receiver import body_of

REQUIRED = {
    "membership-created": {"member", "organization"},
    "membership-updated": {"member"},
    "role-updated": {"member", "roles"},
    "membership-deactivated": {"member"},
    "membership-reactivated": {"member"},
}


def changes(portal: Portal, count: int) -> list[PortalEvent]:
    return [portal.next_change() for _ in range(count)]


def codes(member: PortalMember) -> set[str]:
    return {role.code for role in member.roles}


def test_same_seed_and_clock_give_the_same_bytes() -> None:
    one, other = Portal(7, SteppingClock()), Portal(7, SteppingClock())

    assert list(one.enrol(200)) == list(other.enrol(200))
    assert changes(one, 300) == changes(other, 300)


def test_another_seed_gives_other_members(portal: Portal) -> None:
    other = Portal(8, SteppingClock())

    assert {event.id for event in portal.enrol(50)}.isdisjoint(
        {event.id for event in other.enrol(50)}
    )


def test_restored_portal_continues_with_the_very_next_event(portal: Portal) -> None:
    clock = SteppingClock()
    original = Portal(7, clock)
    list(original.enrol(150))
    changes(original, 100)

    later = SteppingClock()
    later.time = clock.time
    restored = Portal.restore(original.snapshot(), later)

    assert changes(restored, 300) == changes(original, 300)
    assert dict(restored.members) == dict(original.members)
    assert restored.coordinator == original.coordinator
    assert restored.snapshot() == original.snapshot()


def test_what_is_not_a_snapshot_is_refused() -> None:
    with pytest.raises(msgspec.MsgspecError):
        Portal.restore(b'{"seed": 7}', SteppingClock())


def test_every_event_has_the_shape_of_the_contract(portal: Portal) -> None:
    events = [*portal.enrol(120), *changes(portal, 1_500)]

    assert {event.type for event in events} == set(REQUIRED)
    for event in events:
        body = body_of(event.body)
        assert set(body) == {"type", "timestamp", "data"}
        assert body["type"] == event.type
        assert body["data"]["member"]["id"] == event.member_id
        assert REQUIRED[event.type] <= set(body["data"])
        assert set(body["data"]) <= {"member", "organization", "roles", "reason"}
        assert body["timestamp"].endswith("Z")
        assert len(body["timestamp"]) == len("2026-11-23T09:30:00.000Z")
        assert datetime.fromisoformat(body["timestamp"]).tzinfo is not None


def test_bodies_are_compact_utf8(portal: Portal) -> None:
    bodies = b"".join(event.body for event in portal.enrol(100))

    assert "HLF Tromsø".encode() in bodies
    assert b'": ' not in bodies
    assert b"\\u" not in bodies


def test_event_ids_are_unique(portal: Portal) -> None:
    events = [*portal.enrol(100), *changes(portal, 2_000)]

    assert len({event.id for event in events}) == len(events)


def test_enrolment_mentions_every_parent_before_its_children(portal: Portal) -> None:
    mentioned: set[str | None] = {None}

    for event in portal.enrol(300):
        data = body_of(event.body)["data"]
        assert data["organization"]["parentId"] in mentioned
        mentioned.add(data["organization"]["id"])
        assert all(role.get("organizationId") in mentioned for role in data["roles"])

    assert mentioned == {None, *(each.id for each in portal.organizations)}


def test_enrolment_lies_in_the_past_and_in_order(portal: Portal) -> None:
    events = list(portal.enrol(100))

    times = [body_of(event.body)["timestamp"] for event in events]
    assert times == sorted(times)
    assert datetime.fromisoformat(times[-1]) <= SteppingClock()()


def test_federation_is_one_tree_of_three_levels(portal: Portal) -> None:
    national, *others = portal.organizations

    assert (national.name, national.parent_id) == ("HLF", None)
    counties = {each.id for each in others if each.parent_id == national.id}
    assert len(counties) == 6
    assert sum(each.parent_id in counties for each in others) == 25
    assert {"HLF Oslo", "HLF Tromsø", "HLF Ålesund"} <= {each.name for each in others}


def test_population_has_the_usual_mix_of_roles(portal: Portal) -> None:
    list(portal.enrol(2_000))

    held = Counter(code for member in portal.members.values() for code in codes(member))
    assert held["member"] == 2_000
    assert 180 <= held["peer-mentor"] <= 300
    assert 25 <= held["coordinator"] <= 35
    assert held["organization-administrator"] == 3


def test_mix_of_roles_survives_many_changes(portal: Portal) -> None:
    list(portal.enrol(500))
    changes(portal, 20_000)

    active = [member for member in portal.members.values() if member.active]
    held = Counter(code for member in active for code in codes(member))
    assert len(active) > len(portal.members) / 2
    assert 0.05 < held["peer-mentor"] / len(active) < 0.25
    assert 10 <= held["coordinator"] <= 35


def test_addresses_are_ascii_and_unique(portal: Portal) -> None:
    list(portal.enrol(2_000))

    emails = [member.email or "" for member in portal.members.values()]
    assert all(email.isascii() and email.endswith("@example.no") for email in emails)
    assert len(set(emails)) == 2_000
    assert len({member.member_number for member in portal.members.values()}) == 2_000


def test_personas_keep_their_place_over_many_changes(portal: Portal) -> None:
    list(portal.enrol(60))
    before = (portal.administrator, portal.coordinator, portal.peer_mentor)

    changes(portal, 2_000)

    after = (portal.administrator, portal.coordinator, portal.peer_mentor)
    assert after == before
    assert all(member.active for member in after)
    assert portal.administrator.organization_id == portal.organizations[0].id
    assert "organization-administrator" in codes(portal.administrator)
    assert "coordinator" in codes(portal.coordinator)
    assert "peer-mentor" in codes(portal.peer_mentor)


def test_coordinator_persona_stands_above_the_peer_mentor_persona(portal: Portal) -> None:
    list(portal.enrol(3))

    parents = {each.id: each.parent_id for each in portal.organizations}
    mentored = portal.peer_mentor.organization_id
    assert parents[mentored] == portal.coordinator.organization_id


def test_personas_are_absent_before_anybody_joined(portal: Portal) -> None:
    with pytest.raises(LookupError, match="enrol"):
        _ = portal.coordinator


def test_portal_without_members_starts_with_somebody_joining(portal: Portal) -> None:
    assert portal.next_change().type == "membership-created"


def test_events_of_one_member_never_share_a_timestamp() -> None:
    standing = Portal(7, SteppingClock(step=timedelta(0)))
    events = [*standing.enrol(40), *changes(standing, 1_000)]

    moments = [(event.member_id, body_of(event.body)["timestamp"]) for event in events]
    assert len(set(moments)) == len(moments)


def test_a_killed_demo_never_reuses_an_event_id_for_another_body(portal: Portal) -> None:
    list(portal.enrol(40))
    snapshot = portal.snapshot()
    sent = changes(portal, 100)

    again = Portal.restore(snapshot, SteppingClock(step=timedelta(seconds=3)))
    repeated = changes(again, 100)

    assert {event.id for event in sent}.isdisjoint(event.id for event in repeated)


def test_changes_are_plausible_for_the_members_as_they_are(portal: Portal) -> None:
    list(portal.enrol(80))

    for _ in range(2_000):
        before = dict(portal.members)
        event = portal.next_change()
        was = before.get(event.member_id)
        assert (was is None) == (event.type == "membership-created")
        if was is not None:
            assert was.active == (event.type != "membership-reactivated")
            now = portal.members[event.member_id]
            assert msgspec.structs.replace(now, changed_at=was.changed_at) != was


def test_some_updates_clear_a_field_with_null(portal: Portal) -> None:
    list(portal.enrol(80))

    bodies = [body_of(event.body) for event in changes(portal, 500)]

    assert any(field is None for body in bodies for field in body["data"]["member"].values())


def test_events_alone_tell_how_every_member_ends(portal: Portal) -> None:
    told: dict[str, dict[str, Any]] = {}

    for event in [*portal.enrol(100), *changes(portal, 3_000)]:
        apply(told, event)

    assert told == {id: facts(member) for id, member in portal.members.items()}


def apply(told: dict[str, dict[str, Any]], event: PortalEvent) -> None:
    body = body_of(event.body)
    data = body["data"]
    person = told.setdefault(event.member_id, {"active": True})
    person |= data["member"] | {"at": datetime.fromisoformat(body["timestamp"])}
    if "organization" in data:
        person["home"] = data["organization"]["id"]
    if "roles" in data:
        person["roles"] = [(role["code"], role.get("organizationId")) for role in data["roles"]]
    if event.type.endswith("activated"):
        person["active"] = event.type == "membership-reactivated"


def facts(member: PortalMember) -> dict[str, Any]:
    return {
        "id": member.id,
        "memberNumber": member.member_number,
        "givenName": member.given_name,
        "familyName": member.family_name,
        "email": member.email,
        "phone": member.phone,
        "home": member.organization_id,
        "roles": [(role.code, role.organization_id) for role in member.roles],
        "active": member.active,
        "at": member.changed_at,
    }


def test_enrolment_is_lazy(portal: Portal) -> None:
    list(islice(portal.enrol(1_000_000), 5))

    assert len(portal.members) == 5
