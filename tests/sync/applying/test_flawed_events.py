"""Senders in the world: what is flawed beside who, what and when is mended, and the rest is kept in
the log with what could be read. Over HTTP, on both databases."""

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from db.database import Database
from db.vocabulary import ActivationState, SyncOutcome
from sync.recording.deliveries import read_delivery
from sync.recording.record import record_deliveries
from tests.support.builders import (
    EPOCH,
    at,
    body_of,
    created,
    deactivated,
    guid,
    organization,
    role,
    role_updated,
    updated,
)
from tests.support.opened import clear, opened
from tests.support.service import Service
from tests.sync.recorded_events import RECEIVED, delivery, world_of

LOG = """query { syncLog { edges { node {
    eventId eventType occurredAt status outcome detail deliveries processedAt
    member { portalId } organization { portalId } } } } }"""
MEMBER = """query ($id: String!) { member(by: {portalId: $id}) {
    state accessLevel memberNumber phone givenName organization { portalId } } }"""


async def log_of(service: Service) -> list[dict[str, Any]]:
    """The entries, oldest first."""
    data = await service.data(LOG)
    return [edge["node"] for edge in reversed(data["syncLog"]["edges"])]


async def member(service: Service, name: str = "Kari") -> dict[str, Any]:
    found: dict[str, Any] = (await service.data(MEMBER, id=guid(name)))["member"]
    return found


def with_profile(**profile: object) -> dict[str, Any]:
    return deactivated("Kari", profile=profile)


@pytest.mark.parametrize(
    ("event", "remark"),
    [
        (deactivated("Kari", reason="flyttet\ntil Bergen"), "replaced by single blanks"),
        (deactivated("Kari", reason="x" * 1001), "only the first 1000 were kept"),
        (with_profile(memberNumber=104233), "was taken as text"),
        (with_profile(memberNumber=int("9" * 400)), "has 400 characters"),
        (with_profile(phone="+47 900\n00000"), "replaced by single blanks"),
        (with_profile(givenName="Kari\tAnne"), "replaced by single blanks"),
        (with_profile(email={"primary": "kari@example.no"}), "is not a text"),
        (deactivated("Kari", roles=[{"code": " "}]), None),
        (deactivated("Kari", organization={"id": "urn:x", "name": 5}), "cannot be read"),
        (deactivated("Kari", organization="HLF Oslo"), "cannot be read"),
        ({**deactivated("Kari"), "type": "Membership.Deactivated"}, None),
        ({**deactivated("Kari"), "timestamp": "2024-11-01T09:01:60Z"}, None),
    ],
    ids=range(12),
)
async def test_flaw_beside_who_what_and_when_never_keeps_somebody_in(
    service: Service, event: dict[str, Any], remark: str | None
) -> None:
    await service.tell(created("Kari", roles=[role("coordinator")]))

    response = await service.deliver(event, "evt_1")

    assert response.status_code == 200, response.text
    assert response.json()["outcome"] == "deactivated"
    kari = await member(service)
    assert (kari["state"], kari["accessLevel"]) == ("INACTIVE", "NONE")
    entry = (await log_of(service))[-1]
    assert (entry["status"], entry["outcome"]) == ("SUCCESS", "DEACTIVATED")
    if remark:
        assert remark in entry["detail"]
        assert remark in response.json()["detail"]


async def test_what_was_mended_is_stored_as_mended(service: Service) -> None:
    profile = {"givenName": " Kari\r\nAnne ", "memberNumber": 104233, "phone": "x" * 300}

    await service.tell(created("Kari", profile=profile))

    kari = await member(service)
    assert (kari["givenName"], kari["memberNumber"]) == ("Kari Anne", "104233")
    assert kari["phone"] is None


async def test_creation_with_a_blank_organization_is_applied_without_a_home(
    service: Service,
) -> None:
    await service.tell(created("Kari", organization={"id": ""}))

    assert (await member(service))["organization"] is None


async def test_body_with_a_byte_order_mark_is_read(service: Service) -> None:
    response = await service.deliver(b"\xef\xbb\xbf" + body_of(created("Kari")))

    assert response.status_code == 200
    assert response.json()["detail"].startswith("The body begins with a byte order mark")


@pytest.mark.parametrize(
    "event",
    [
        {**role_updated("Kari", roles=[{}]), "type": "Role_Updated"},
        role_updated("Kari", roles=[role("x" * 101)]),
        {**role_updated("Kari", roles=[]), "type": "role-updatet"},
    ],
    ids=["roles", "too long", "type"],
)
async def test_rejected_entry_holds_type_time_person_and_chapter(
    service: Service, event: dict[str, Any]
) -> None:
    await service.tell(created("Kari"))

    response = await service.deliver(event)

    assert response.status_code == 422
    entry = (await log_of(service))[-1]
    assert entry["status"] == "REJECTED"
    assert entry["eventType"] in ("role-updated", "role-updatet")
    assert datetime.fromisoformat(entry["occurredAt"]) == EPOCH + timedelta(minutes=1)
    assert entry["member"] == {"portalId": guid("Kari")}
    assert entry["organization"] == {"portalId": guid("HLF Oslo")}


async def test_entry_of_an_unknown_type_holds_time_person_and_chapter(service: Service) -> None:
    await service.tell(created("Kari"))

    await service.deliver({**updated("Kari"), "type": "newsletter-opened"})

    entry = (await log_of(service))[-1]
    assert (entry["status"], entry["outcome"]) == ("SKIPPED", "IGNORED")
    assert datetime.fromisoformat(entry["occurredAt"]) == EPOCH + timedelta(minutes=1)
    assert entry["member"] == {"portalId": guid("Kari")}
    assert entry["organization"] == {"portalId": guid("HLF Oslo")}


async def test_rejected_entry_about_somebody_unknown_is_shown_at_the_chapter_it_names(
    service: Service,
) -> None:
    await service.tell(created("Kari"))

    await service.deliver(role_updated("Ola", roles=[{}], organization=organization()))

    entry = (await log_of(service))[-1]
    assert entry["member"] is None
    assert entry["organization"] == {"portalId": guid("HLF Oslo")}
    assert (await service.data(MEMBER, id=guid("Ola")))["member"] is None


async def test_rejected_entry_does_not_count_for_since_when(database: Database) -> None:
    """What was not applied must not be read as a statement."""
    events = [
        created("Kari", 0, roles=[role("member")]),
        role_updated("Kari", 5, roles=[role("member"), {}]),
        {**role_updated("Kari", 4, roles=[]), "type": "newsletter-opened"},
        role_updated("Kari", 6, roles=[role("member")]),
        # Older than what is known, so that since when is computed from the whole history.
        role_updated("Kari", 3, roles=[role("member")]),
    ]
    for number, event in enumerate(events):
        await record_deliveries(database, [delivery(event, f"evt_{number}")])

    ((_, _, since),) = (await world_of(database)).person("Kari").roles
    assert since.isoformat() == "2024-11-01T09:00:00+00:00"


async def test_same_event_in_other_bytes_is_a_repetition(service: Service) -> None:
    event = created("Kari", profile={"givenName": "Kari", "phone": "1"})
    other = json.dumps(dict(reversed(event.items())), indent=2).encode()

    first = await service.deliver(event, "evt_1")
    again = await service.deliver(other, "evt_1")

    assert (again.status_code, again.json()) == (200, first.json())
    (entry,) = await log_of(service)
    assert entry["deliveries"] == 2


async def test_repetitions_in_other_bytes_that_arrive_at_once_are_one_event(
    database: Database,
) -> None:
    event = created("Kari")
    written = [body_of(event), json.dumps(event, indent=1).encode(), body_of(event)]

    receipts = await record_deliveries(
        database, [read_delivery("portal", "evt_1", RECEIVED, body) for body in written]
    )

    assert [receipt.outcome for receipt in receipts] == [SyncOutcome.CREATED] * 3
    assert not any(receipt.conflict for receipt in receipts)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (created("Kari"), created("Kari", 0.001)),
        (updated("Kari", profile={"phone": "1"}), updated("Kari", profile={"phone": "2"})),
        ({"type": "newsletter-opened", "data": 1}, {"type": "newsletter-opened", "data": 2}),
        ({"type": "role-updated"}, {"type": "role-updated", "data": 1}),
    ],
    ids=["time", "content", "unknown type", "rejected"],
)
async def test_same_id_that_says_something_else_is_a_conflict(
    service: Service, first: dict[str, Any], second: dict[str, Any]
) -> None:
    await service.deliver(first, "evt_1")

    response = await service.deliver(second, "evt_1")

    assert response.status_code == 409
    entry = (await log_of(service))[-1]
    assert entry["status"] == "REJECTED"
    assert entry["eventType"] == second["type"]


async def test_event_of_unknown_type_in_other_bytes_is_a_repetition(service: Service) -> None:
    await service.deliver(b'{"type": "newsletter-opened", "data": 1}', "evt_1")

    response = await service.deliver(b'{"data": 1.0, "type": "newsletter-opened"}', "evt_1")

    assert response.status_code == 200
    assert (await log_of(service))[0]["deliveries"] == 2


REPLAY = """mutation ($input: ReplayEventsInput!) { replayEvents(input: $input) {
    __typename ... on ReplayEventsSuccess { matched } } }"""


async def test_conflict_is_replayed_only_when_it_is_named(service: Service) -> None:
    await service.deliver(created("Kari", roles=[role("member")]), "evt_1")
    await service.deliver(role_updated("Kari", roles=[role("organization-administrator")]), "evt_1")
    conflict = (await service.data("{ syncLog(first: 1) { edges { node { id } } } }"))["syncLog"]
    ids = [edge["node"]["id"] for edge in conflict["edges"]]

    by_filter = await service.data(REPLAY, input={"filter": {}, "reason": "after a fix"})
    member_before = await member(service)
    by_id = await service.data(REPLAY, input={"ids": ids, "reason": "it was right"})

    assert by_filter["replayEvents"]["matched"] == 1
    assert member_before["accessLevel"] == "MEMBER"
    assert by_id["replayEvents"]["matched"] == 1
    assert (await member(service))["accessLevel"] == "ADMIN"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**400)
    | st.floats()
    | st.text(st.characters(codec=None), max_size=20)
    | st.sampled_from(["a\nb", " ", "x" * 1001, "\x00", "\ud800", guid("HLF Bodø")]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
flaws = st.fixed_dictionaries(
    {},
    optional={
        "reason": json_values,
        "roles": json_values,
        "organization": json_values
        | st.fixed_dictionaries(
            {}, optional=dict.fromkeys(("id", "name", "parentId", "closed"), json_values)
        ),
        "mergedId": json_values,
    },
)


@pytest.fixture
def cleared(database_url: str) -> Iterator[tuple[asyncio.Runner, Database]]:
    with asyncio.Runner() as runner:
        manager = opened(database_url)
        yield runner, runner.run(manager.__aenter__())
        runner.run(manager.__aexit__(None, None, None))


@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    data=flaws,
    profile=st.dictionaries(
        st.sampled_from(["memberNumber", "givenName", "familyName", "email", "phone"]), json_values
    ),
    sequence=json_values,
)
def test_whatever_is_wrong_beside_who_what_and_when_the_deactivation_is_applied(
    cleared: tuple[asyncio.Runner, Database],
    data: dict[str, Any],
    profile: dict[str, Any],
    sequence: object,
) -> None:
    event = {
        "type": "membership-deactivated",
        "timestamp": at(1),
        "sequence": sequence,
        "data": {**data, "member": {**profile, "id": guid("Kari")}},
    }
    runner, database = cleared

    state = runner.run(_state_after(database, json.dumps(event).encode()))

    assert state is ActivationState.INACTIVE


async def _state_after(database: Database, body: bytes) -> ActivationState:
    await clear(database)
    await record_deliveries(database, [delivery(created("Kari"), "evt_1")])
    (receipt,) = await record_deliveries(
        database, [read_delivery("portal", "evt_2", RECEIVED, body)]
    )
    assert receipt.outcome is SyncOutcome.DEACTIVATED
    return (await world_of(database)).person("Kari").state
