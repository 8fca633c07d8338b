"""Merges: two ids of the portal are of one person, through HTTP and sockets."""

from datetime import UTC, datetime
from typing import Any

import pytest

from db.database import Database
from db.queries.members.member_records import member_homes
from db.vocabulary import PortalId, SyncStatus
from sync.events import EventType
from sync.recording.record import record_deliveries
from sync.recording.replay import ReplayRequest, replay_entries
from tests.faults.handlers import failing_handler
from tests.support.association import found_association
from tests.support.builders import created, event, guid, role, role_updated, updated
from tests.support.service import Service
from tests.sync.applying.test_isolation import refuse_to_write
from tests.sync.recorded_events import delivery, entries

MEMBER = """query ($id: String!) { member(by: {portalId: $id}) { portalId givenName phone
    roles { role { code } } syncLog { totalCount } } }"""
CHANGES = """subscription { memberChanges { __typename
    ... on MemberChange { operation memberId } } }"""


def merged(member: str, gone: str, when: float = 5, **data: Any) -> dict[str, Any]:
    return event("membership-merged", member, when, mergedId=guid(gone), **data)


async def found(service: Service, name: str) -> dict[str, Any]:
    member: dict[str, Any] = (await service.data(MEMBER, id=guid(name)))["member"]
    return member


async def test_person_is_found_and_signs_in_under_both_ids(service: Service) -> None:
    await found_association(service)
    await service.tell(updated("Mona", 2, profile={"phone": "7"}), merged("Kari", "Mona"))

    kari = await found(service, "Kari")

    assert await found(service, "Mona") == kari
    assert (kari["portalId"], kari["phone"]) == (guid("Kari"), "7")
    for name in ("Kari", "Mona"):
        viewer = await service.data("{ viewer { member { portalId } } }", member=name)
        assert viewer["viewer"]["member"] == {"portalId": guid("Kari")}


async def test_what_is_stated_of_the_old_id_afterwards_is_of_the_person(service: Service) -> None:
    await service.tell(created("Kari"), created("Kari old"), merged("Kari", "Kari old"))

    await service.tell(role_updated("Kari old", 9, roles=[role("coordinator")]))
    await service.data("mutation { replayEvents(input: {filter: {}}) { __typename } }")

    kari = await found(service, "Kari")
    assert kari["roles"] == [{"role": {"code": "coordinator"}}]
    assert kari["syncLog"]["totalCount"] == 4
    assert (await service.data("{ members { totalCount } }"))["members"]["totalCount"] == 1


async def test_merge_before_either_is_known_and_a_merge_turned_round(service: Service) -> None:
    await service.tell(merged("B", "A", 1), merged("C", "B", 2), merged("A", "C", 3))
    await service.tell(created("A", 4, profile={"givenName": "Kari"}))

    assert (await found(service, "B"))["givenName"] == "Kari"
    assert (await found(service, "A"))["portalId"] == guid("C")
    log = await service.data(
        '{ syncLog(filter: {eventType: ["membership-merged"]}) { edges { node { detail } } } }'
    )
    assert "was not turned round" in log["syncLog"]["edges"][0]["node"]["detail"]


async def test_followers_are_told_that_the_merged_member_is_gone(service: Service) -> None:
    await service.tell(created("Kari"), created("Kari old"))
    ids = {
        edge["node"]["portalId"]: edge["node"]["id"]
        for edge in (await service.data("{ members { edges { node { id portalId } } } }"))[
            "members"
        ]["edges"]
    }

    async with service.subscribe(CHANGES) as changes:
        await changes.next("StreamHeartbeat")
        await service.tell(merged("Kari", "Kari old"))
        change = await changes.next("MemberChange")

    assert change["operation"] == "REMOVED"
    assert change["memberId"] == ids[guid("Kari old")]


async def test_person_cannot_be_merged_with_themselves(service: Service) -> None:
    response = await service.deliver(merged("Kari", "Kari"))

    assert response.status_code == 422
    assert "is the id of the member itself" in response.text


async def test_person_is_corrected_under_the_old_id(service: Service) -> None:
    await service.tell(created("Kari"), created("Kari old"), merged("Kari", "Kari old"))

    answer = await service.data(
        "mutation ($input: CorrectMembershipInput!) { correctMembership(input: $input) "
        "{ __typename } }",
        input={"portalId": guid("Kari old"), "reason": "wrong", "profile": {"phone": "8"}},
    )

    assert answer["correctMembership"]["__typename"] == "CorrectMembershipSuccess"
    assert (await found(service, "Kari"))["phone"] == "8"


BOTH = ("Kari", "Kari old")
FLAWED: dict[str, Any] = {"roles": "none of them can be read"}


async def test_entries_that_are_not_applied_show_the_person_who_lives_on(service: Service) -> None:
    await service.tell(created("Kari"), created("Kari old"))
    await service.deliver(role_updated("Kari old", 2, **FLAWED), "evt_before")
    await service.tell(merged("Kari", "Kari old"))
    await service.deliver(role_updated("Kari old", 6, **FLAWED), "evt_after")
    await service.deliver(event("membership-celebrated", "Kari old", 7), "evt_unknown")

    log = await service.data(
        "{ syncLog(first: 10) { edges { node { eventId member { portalId } organization { name } "
        "} } } }"
    )

    shown = {edge["node"]["eventId"]: edge["node"] for edge in log["syncLog"]["edges"]}
    for id in ("evt_before", "evt_after", "evt_unknown"):
        assert shown[id]["member"] == {"portalId": guid("Kari")}, id
        assert shown[id]["organization"] == {"name": "HLF Oslo"}, id


LOOK = {"translation": {"lookAt": guid("Kari old")}}


@pytest.mark.parametrize("one_by_one", [False, True])
async def test_merge_is_recorded_with_entries_of_the_merged_member_that_wait_beside_it(
    database: Database, one_by_one: bool
) -> None:
    await record_deliveries(database, [delivery(created(name), f"evt_{name}") for name in BOTH])
    told: list[dict[str, Any]] = [
        event("membership-updated", "Kari old", 3) | LOOK,
        role_updated("Kari old", 3, **FLAWED),
        event("membership-celebrated", "Kari old", 3),
        updated("Kari old", 4, profile={"phone": "7"}),
        merged("Kari", "Kari old"),
        event("membership-updated", "Kari old", 6) | LOOK,
    ]
    deliveries = [delivery(one, f"evt_{number}") for number, one in enumerate(told)]

    if one_by_one:
        # One event that the database refuses lets the others be tried alone.
        await refuse_to_write(database, "Ola", "INSERT")
        deliveries.append(delivery(created("Ola"), "evt_refused"))
    await record_deliveries(database, deliveries)

    found = [one for one in await entries(database) if one.event_id != "evt_refused"]
    async with database.read() as session:
        homes = await session.find(member_homes([PortalId(guid(name)) for name in BOTH]))
    assert len(found) == 8
    assert {entry.member_id for entry in found} == {home.member_id for home in homes.values()}
    assert len(homes) == 2


async def test_rejected_entry_is_replayed_with_the_merge_of_its_member(
    database: Database,
) -> None:
    """Both wait for a replay: one of them cannot be read, and the other one had failed."""
    flawed = delivery(role_updated("Kari old", 2, **FLAWED), "evt_flawed")
    for told in (*(delivery(created(name), f"evt_{name}") for name in BOTH), flawed):
        await record_deliveries(database, [told])
    with failing_handler(EventType.MEMBERSHIP_MERGED):
        await record_deliveries(database, [delivery(merged("Kari", "Kari old"), "evt_merge")])

    ids = [entry.id for entry in await entries(database)]
    await replay_entries(database, ids, ReplayRequest("a test"), lambda: datetime.now(UTC))

    found = {entry.event_id: entry for entry in await entries(database)}
    assert found["evt_merge"].status is SyncStatus.SUCCESS
    assert found["evt_flawed"].status is SyncStatus.REJECTED
    assert len({entry.member_id for entry in found.values()}) == 1
