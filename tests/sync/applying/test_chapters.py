"""Chapters: their own events, what becomes of them in the log, and cycles. Over HTTP."""

from itertools import permutations
from typing import Any

import pytest

from db.database import Database
from db.migrate import migrate
from sync.recording.record import record_deliveries
from tests.support.builders import (
    at,
    created,
    guid,
    organization,
    organization_updated,
    role,
    updated,
)
from tests.support.opened import opened
from tests.support.service import Service
from tests.sync.recorded_events import Chapter, delivery, record, record_all, world_of

LOG = """query { syncLog { edges { node {
    eventId eventType status outcome detail member { portalId } organization { portalId }
    changes { field before after } } } } }"""
MEMBERS = "{ members { edges { node { givenName } } } }"


async def entry(service: Service, event_id: str) -> dict[str, Any]:
    log = (await service.data(LOG))["syncLog"]["edges"]
    (found,) = [edge["node"] for edge in log if edge["node"]["eventId"] == event_id]
    return dict(found)


async def seen_by(service: Service, member: str) -> set[str]:
    data = await service.data(MEMBERS, member=member)
    return {edge["node"]["givenName"] for edge in data["members"]["edges"]}


async def chapters(service: Service) -> dict[str, Chapter]:
    async with opened(service.settings.database_url) as database:
        return (await world_of(database)).chapters


async def test_rename_is_a_change_in_the_log_of_the_chapter(service: Service) -> None:
    await service.tell(created("Kari"))

    response = await service.deliver(
        organization_updated("HLF Oslo", name="Oslo og omegn"), "evt_1"
    )

    assert (response.status_code, response.json()["outcome"]) == (200, "updated")
    found = await entry(service, "evt_1")
    assert (found["status"], found["outcome"]) == ("SUCCESS", "UPDATED")
    assert found["changes"] == [
        {"field": "organization.name", "before": "HLF Oslo", "after": "Oslo og omegn"}
    ]
    assert found["member"] is None
    assert found["organization"] == {"portalId": guid("HLF Oslo")}


async def test_move_is_a_change_between_names_and_moves_what_is_seen(service: Service) -> None:
    await service.tell(
        created(
            "Vilde", organization=organization("HLF Viken", "HLF"), roles=[role("coordinator")]
        ),
        created("Kari", organization=organization("HLF Oslo", "HLF Innlandet")),
    )
    before = await seen_by(service, "Vilde")

    await service.deliver(organization_updated("HLF Oslo", parentId=guid("HLF Viken")), "evt_1")

    assert before == {"Vilde"}
    assert await seen_by(service, "Vilde") == {"Vilde", "Kari"}
    assert (await entry(service, "evt_1"))["changes"] == [
        {"field": "organization.parent", "before": guid("HLF Innlandet"), "after": "HLF Viken"}
    ]


async def test_members_of_a_closed_chapter_stay_visible_to_the_levels_above(
    service: Service,
) -> None:
    await service.tell(
        created("Vilde", organization=organization("HLF Viken"), roles=[role("coordinator")]),
        created("Kari", organization=organization("HLF Oslo", "HLF Viken")),
    )

    await service.deliver(organization_updated("HLF Oslo", closed=True), "evt_1")

    assert await seen_by(service, "Vilde") == {"Vilde", "Kari"}
    found = await entry(service, "evt_1")
    assert found["outcome"] == "UPDATED"
    assert found["changes"] == [
        {"field": "organization.closed", "before": "false", "after": "true"}
    ]
    assert (await chapters(service))[guid("HLF Oslo")].closed


async def test_event_about_an_unknown_chapter_creates_it(service: Service) -> None:
    await service.deliver(
        organization_updated("HLF Oslo", name="HLF Oslo", parentId=guid("HLF")), "evt_1"
    )

    assert (await chapters(service))[guid("HLF Oslo")] == Chapter("HLF Oslo", guid("HLF"))
    assert (await entry(service, "evt_1"))["changes"] == [
        {"field": "organization.name", "before": None, "after": "HLF Oslo"},
        {"field": "organization.parent", "before": None, "after": guid("HLF")},
    ]


async def test_event_about_a_chapter_may_be_stale_or_change_nothing(service: Service) -> None:
    await service.deliver(organization_updated("HLF Oslo", 5, name="HLF Oslo"), "evt_5")

    older = await service.deliver(organization_updated("HLF Oslo", 1, name="Oslo"), "evt_1")
    equal = await service.deliver(organization_updated("HLF Oslo", 6, name="HLF Oslo"), "evt_6")

    assert (older.json()["status"], older.json()["outcome"]) == ("skipped", "stale")
    assert "was received before this one" in older.json()["detail"]
    assert (equal.json()["status"], equal.json()["outcome"]) == ("success", "unchanged")


@pytest.mark.parametrize("organization", [None, {}, {"name": "HLF"}, {"id": "urn:x"}, "HLF"])
async def test_event_about_a_chapter_without_its_id_is_refused(
    service: Service, organization: object
) -> None:
    event = {
        "type": "organization-updated",
        "timestamp": at(1),
        "data": {"organization": organization},
    }

    assert (await service.deliver(event)).status_code == 422


async def test_rename_in_an_event_about_a_member_is_a_change_of_that_event(
    service: Service,
) -> None:
    await service.deliver(created("Kari"), "evt_1")
    renamed = {**organization(), "name": "Oslo og omegn", "closed": True}

    await service.deliver(updated("Kari", 1, organization=renamed), "evt_2")

    first, second = await entry(service, "evt_1"), await entry(service, "evt_2")
    assert "organization.name" not in [change["field"] for change in first["changes"]]
    assert second["outcome"] == "UPDATED"
    assert second["changes"] == [
        {"field": "organization.name", "before": "HLF Oslo", "after": "Oslo og omegn"}
    ]


EDGES = {
    "A": organization_updated("A", 1, parentId=guid("B")),
    "B": organization_updated("B", 2, parentId=guid("C")),
    "C": organization_updated("C", 3, parentId=guid("A")),
}


@pytest.mark.parametrize("order", ["".join(order) for order in permutations("ABC")])
async def test_newest_edge_of_a_cycle_counts_for_nothing_whatever_the_order(
    database: Database, order: str
) -> None:
    receipts = [await record(database, EDGES[name], f"evt_{name}") for name in order]

    world = await world_of(database)
    parents = {name: world.chapters[guid(name)].parent for name in "ABC"}
    assert parents == {"A": guid("B"), "B": guid("C"), "C": None}
    told = ["form a cycle" in (receipt.detail or "") for receipt in receipts]
    assert told == [False, False, True]


async def test_cycle_cuts_off_nobody_but_what_its_newest_edge_states(service: Service) -> None:
    await service.tell(
        created("Vilde", organization=organization("B", "C"), roles=[role("coordinator")]),
        created("Kari", organization=organization("A", "B")),
        created("Ola", organization=organization("C")),
    )

    await service.tell(organization_updated("C", 3, parentId=guid("A")))

    assert await seen_by(service, "Vilde") == {"Vilde", "Kari"}


async def test_cycle_is_over_when_the_portal_states_another_parent(database: Database) -> None:
    await record_all(database, *EDGES.values(), organization_updated("B", 4, parentId=None))

    world = await world_of(database)
    parents = {name: world.chapters[guid(name)].parent for name in "ABC"}
    assert parents == {"A": guid("B"), "B": None, "C": guid("A")}


async def test_edge_of_a_cycle_that_is_stated_again_is_its_newest(database: Database) -> None:
    again = organization_updated("A", 4, parentId=guid("B"))

    *_, receipt = await record_all(database, *EDGES.values(), again)

    world = await world_of(database)
    parents = {name: world.chapters[guid(name)].parent for name in "ABC"}
    assert parents == {"A": None, "B": guid("C"), "C": guid("A")}
    assert receipt.detail is None


async def test_chapter_above_itself_is_a_cycle_of_one(database: Database) -> None:
    receipt = await record(
        database, created("Kari", organization=organization("HLF Oslo", "HLF Oslo")), "evt_1"
    )

    assert "form a cycle" in (receipt.detail or "")
    assert (await world_of(database)).chapter("HLF Oslo").parent is None


async def test_coordinator_who_moves_home_and_gains_sight_is_remarked_on(
    service: Service,
) -> None:
    await service.tell(
        created("Vilde", roles=[role("coordinator")]),
        created("Kari", roles=[role("coordinator", "HLF Oslo")]),
        created("Ola", roles=[role("peer-mentor")]),
    )
    bergen = organization("HLF Bergen")

    details = [
        (await service.deliver(updated(name, 1, organization=bergen))).json().get("detail")
        for name in ("Vilde", "Kari", "Ola")
    ]

    assert details == [
        "Holds coordinator in the home organization, and so sees HLF Bergen from now on.",
        None,
        None,
    ]


async def test_cycle_of_before_is_opened_at_its_newest_edge(database_url: str) -> None:
    async with opened(database_url) as database:
        await record_deliveries(
            database, [delivery(event, f"evt_{name}") for name, event in EDGES.items()]
        )
    await migrate(database_url, "0008")

    await migrate(database_url)

    async with opened(database_url) as database:
        world = await world_of(database)
        parents = {name: world.chapters[guid(name)].parent for name in "ABC"}
        assert parents == {"A": guid("B"), "B": guid("C"), "C": None}
        # The migration has told them apart from what was stated.
        await record(database, organization_updated("B", 4, parentId=None), "evt_4")
        assert (await world_of(database)).chapters[guid("C")].parent == guid("A")
