"""Keyset connections: forward, backward, in every order, and while members come and go."""

import asyncio
import base64
import json
from typing import Any

import pytest

from tests.support.answers import nodes, refused_arguments
from tests.support.builders import (
    created,
    deactivated,
    organization,
    organization_updated,
    updated,
)
from tests.support.service import Service

MEMBERS = """
query ($first: Int, $after: String, $last: Int, $before: String, $orderBy: MemberOrder,
       $filter: MemberFilter) {
  members(first: $first, after: $after, last: $last, before: $before, orderBy: $orderBy,
          filter: $filter) {
    edges { cursor node { displayName memberNumber } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }
"""
LOG = """
query ($first: Int, $after: String) { syncLog(first: $first, after: $after) {
    edges { cursor node { eventId } } pageInfo { hasNextPage endCursor } } }
"""
ORDERS = [
    {"field": field, "direction": direction}
    for field in ("NAME", "MEMBER_NUMBER", "UPDATED_AT")
    for direction in ("ASC", "DESC")
]


def named(family_name: str, number: str | None = None) -> dict[str, Any]:
    profile = {"familyName": family_name, "memberNumber": number}
    return created(family_name, profile=profile)


async def page(service: Service, **arguments: Any) -> dict[str, Any]:
    members: dict[str, Any] = (await service.data(MEMBERS, **arguments))["members"]
    return members


async def names(service: Service, **arguments: Any) -> list[str]:
    return nodes(await page(service, **arguments), "displayName")


async def walk(service: Service, size: int, **arguments: Any) -> list[list[str]]:
    """The names of every page, read forward to the end."""
    pages = []
    after = None
    while True:
        found = await page(service, first=size, after=after, **arguments)
        pages.append(nodes(found, "displayName"))
        after = found["pageInfo"]["endCursor"]
        if not found["pageInfo"]["hasNextPage"]:
            return pages


async def test_pages_are_read_forward_to_the_end(service: Service) -> None:
    await service.tell(*(named(name) for name in "EBDAC"))

    first = await page(service, first=2)
    second = await page(service, first=2, after=first["pageInfo"]["endCursor"])
    third = await page(service, first=2, after=second["pageInfo"]["endCursor"])

    found = [nodes(found, "displayName") for found in (first, second, third)]
    assert found == [["A", "B"], ["C", "D"], ["E"]]
    assert [p["pageInfo"]["hasNextPage"] for p in (first, second, third)] == [True, True, False]
    assert [p["pageInfo"]["hasPreviousPage"] for p in (first, second, third)] == [False, True, True]
    assert first["pageInfo"]["startCursor"] == first["edges"][0]["cursor"]
    assert first["pageInfo"]["endCursor"] == first["edges"][1]["cursor"]


async def test_pages_are_read_backward_in_the_order_of_the_list(service: Service) -> None:
    await service.tell(*(named(name) for name in "EBDAC"))

    last = await page(service, last=2)
    middle = await page(service, last=2, before=last["pageInfo"]["startCursor"])
    start = await page(service, last=2, before=middle["pageInfo"]["startCursor"])

    found = [nodes(found, "displayName") for found in (last, middle, start)]
    assert found == [["D", "E"], ["B", "C"], ["A"]]
    assert [p["pageInfo"]["hasPreviousPage"] for p in (last, middle, start)] == [True, True, False]
    assert [p["pageInfo"]["hasNextPage"] for p in (last, middle, start)] == [False, True, True]


async def test_empty_list_has_a_page_without_cursors(service: Service) -> None:
    found = await page(service)

    assert found["edges"] == []
    assert found["pageInfo"] == {
        "hasNextPage": False,
        "hasPreviousPage": False,
        "startCursor": None,
        "endCursor": None,
    }


async def test_page_has_twenty_five_unless_asked_otherwise_and_a_hundred_at_most(
    service: Service,
) -> None:
    await asyncio.gather(*(service.tell(named(f"M{n:03}")) for n in range(101)))

    assert len(await names(service)) == 25
    assert len(await names(service, first=100)) == 100
    assert len(await names(service, last=100)) == 100
    assert [len(found) for found in await walk(service, 100)] == [100, 1]


async def test_page_size_out_of_bounds_is_refused_by_name(service: Service) -> None:
    for field in ("members", "syncLog", "organizations"):
        for size in (0, -1, 101, 2**31 - 1):
            answer = await service.ask(f"{{ {field}(first: {size}) {{ edges {{ cursor }} }} }}")

            assert answer["data"] is None
            assert refused_arguments(answer) == ["first"]


async def test_backward_page_size_out_of_bounds_is_refused_by_name(service: Service) -> None:
    for size in (0, -1, 101):
        assert refused_arguments(await service.ask(MEMBERS, last=size)) == ["last"]


async def test_page_is_read_forward_or_backward_but_not_both(service: Service) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"first": 1, "last": 1}, "last"),
        ({"first": 1, "before": "x"}, "before"),
        ({"after": "x", "before": "x"}, "before"),
        ({"last": 1, "after": "x"}, "last"),
    ]
    for arguments, wrong in cases:
        assert refused_arguments(await service.ask(MEMBERS, **arguments)) == [wrong]


def forged(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


FOREIGN_CURSORS = [
    "",
    "x",
    "é",
    "\0",
    "AAAA",
    forged(),
    forged("members:NAME:ASC"),
    forged("members:NAME:ASC", "a"),
    forged("members:NAME:ASC", "a", "b"),
    forged("members:NAME:ASC", 1, 1),
    forged("members:NAME:ASC", "a", 2**63),
    forged("members:NAME:ASC", "a", 1.5),
    forged("members:NAME:ASC", "a", True),
    forged("members:NAME:ASC", "a\0", 1),
    forged("members:NAME:ASC", "a\ud800", 1),
    forged("members:NAME:ASC", "a", 1, 1),
    forged("members:NAME:DESC", "a", 1),
    forged("members:UPDATED_AT:ASC", "2026-11-01T09:00:00Z", 1),
    forged("syncLog", 1, 1),
    forged(["members:NAME:ASC"], "a", 1),
    base64.b64encode(b"[" * 50_000).decode(),
    base64.b64encode(b'{"a": 1}').decode(),
]


async def test_cursor_that_is_not_of_this_list_is_refused_by_name(service: Service) -> None:
    await service.tell(named("A"))

    for cursor in FOREIGN_CURSORS:
        assert refused_arguments(await service.ask(MEMBERS, after=cursor)) == ["after"]
        assert refused_arguments(await service.ask(MEMBERS, before=cursor)) == ["before"]


async def test_cursor_with_an_impossible_time_is_refused(service: Service) -> None:
    without_zone, too_early, too_late = (
        forged("members:UPDATED_AT:ASC", moment, 1)
        for moment in (
            "2026-11-01T09:00:00",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-14:00",
        )
    )

    for cursor in (without_zone, too_early, too_late):
        answer = await service.ask(MEMBERS, after=cursor, orderBy={"field": "UPDATED_AT"})

        assert refused_arguments(answer) == ["after"]


async def test_cursor_of_another_order_is_refused(service: Service) -> None:
    await service.tell(named("A"), named("B"))
    by_name = await page(service, first=1)
    cursor = by_name["pageInfo"]["endCursor"]

    for order in ORDERS[1:]:
        answer = await service.ask(MEMBERS, after=cursor, orderBy=order)

        assert refused_arguments(answer) == ["after"]


async def test_names_are_in_norwegian_alphabetical_order(service: Service) -> None:
    family_names = ["Åberg", "Zahl", "Østby", "Ærlig", "Aas", "bergan", "Berg", "Éa", "Ärlund"]
    await service.tell(*(named(name) for name in family_names))

    found = await names(service)

    expected = ["Berg", "bergan", "Éa", "Zahl", "Ærlig", "Ärlund", "Østby", "Åberg", "Aas"]
    assert found == expected
    assert await names(service, orderBy={"field": "NAME", "direction": "DESC"}) == found[::-1]


async def test_equal_family_names_are_ordered_by_given_name(service: Service) -> None:
    people = [("Kåre", "Berg"), ("Anne", "Bergan"), ("Åse", "Berg"), ("Kari", "Berg")]
    for given, family in people:
        profile = {"givenName": given, "familyName": family}
        await service.tell(created(given, profile=profile))

    found = await names(service)

    assert found == ["Kari Berg", "Kåre Berg", "Åse Berg", "Anne Bergan"]


async def test_member_numbers_are_ordered_as_numbers(service: Service) -> None:
    numbers = ["104233", "99", "100", "9", None]
    await service.tell(*(named(f"M{n}", number) for n, number in enumerate(numbers)))

    ascending = await page(service, orderBy={"field": "MEMBER_NUMBER"})
    descending = await page(service, orderBy={"field": "MEMBER_NUMBER", "direction": "DESC"})

    assert nodes(ascending, "memberNumber") == [None, "9", "99", "100", "104233"]
    assert nodes(descending, "memberNumber") == ["104233", "100", "99", "9", None]


async def test_members_are_ordered_by_their_last_change(service: Service) -> None:
    await service.tell(*(named(name) for name in "ABC"))
    await service.tell(updated("A", profile={"phone": "+4790000000"}))

    assert await names(service, orderBy={"field": "UPDATED_AT"}) == ["B", "C", "A"]
    newest = {"field": "UPDATED_AT", "direction": "DESC"}
    assert await names(service, orderBy=newest) == ["A", "C", "B"]


@pytest.mark.parametrize("order", ORDERS, ids=lambda o: f"{o['field']}-{o['direction']}")
async def test_members_of_equal_key_are_all_listed_once(
    service: Service, order: dict[str, str]
) -> None:
    same = {"familyName": "Hansen", "memberNumber": "7"}
    for n in range(5):
        await service.tell(created(f"twin {n}", profile={**same, "email": f"{n}@example.no"}))
    query = MEMBERS.replace("displayName", "email")

    whole = nodes((await service.data(query, orderBy=order))["members"], "email")
    forward: list[str] = []
    backward: list[str] = []
    for argument, size, cursor, found in (
        ("after", "first", "endCursor", forward),
        ("before", "last", "startCursor", backward),
    ):
        position = None
        for _ in range(3):
            arguments = {size: 2, argument: position, "orderBy": order}
            members = (await service.data(query, **arguments))["members"]
            position = members["pageInfo"][cursor]
            emails = nodes(members, "email")
            found[:] = found + emails if argument == "after" else emails + found

    assert sorted(whole) == [f"{n}@example.no" for n in range(5)]
    assert forward == backward == whole


@pytest.mark.parametrize("order", ORDERS, ids=lambda o: f"{o['field']}-{o['direction']}")
async def test_walk_meets_all_who_stay_once_while_others_come_and_go(
    service: Service, order: dict[str, str]
) -> None:
    """Stayers have even numbers, goers odd ones; newcomers get places all over the list."""
    numbers = range(100, 118)
    await service.tell(*(named(f"M{n}", str(n)) for n in numbers))
    stayers = [f"M{n}" for n in numbers if n % 2 == 0]
    goers = [f"M{n}" for n in numbers if n % 2 == 1]
    in_sight = {"state": "ACTIVE"}
    met: list[str] = []
    after = None

    while True:
        found = await page(service, first=3, after=after, orderBy=order, filter=in_sight)
        met += nodes(found, "displayName")
        if not found["pageInfo"]["hasNextPage"]:
            break
        after = found["pageInfo"]["endCursor"]
        # The member at the cursor goes first, where that is one who may.
        at_cursor = met[-1]
        going = [at_cursor] if at_cursor in goers else goers[:1]
        goers = [name for name in goers if name not in going]
        arrivals = [f"M{place}x{len(met)}" for place in (99, at_cursor.lstrip("M"), 118)]
        await service.tell(
            *(deactivated(name) for name in going),
            *(
                named(name, name.lstrip("M").partition("x")[0])
                for name in arrivals
                if len(met) < 30  # Those who arrive behind the walker must not keep it walking.
            ),
        )

    expected = stayers if order["direction"] == "ASC" else stayers[::-1]
    assert [name for name in met if name in stayers] == expected
    assert len(met) == len(set(met))


async def test_total_is_counted_over_all_pages_and_by_the_filter(service: Service) -> None:
    await service.tell(*(named(name) for name in "ABC"), deactivated("B"))

    found = await service.data(
        "{ all: members(first: 1) { totalCount } active: members(first: 1, filter: "
        "{state: ACTIVE}) { totalCount } syncLog(first: 1) { totalCount } "
        "organizations(first: 1) { totalCount } }"
    )

    totals = {name: connection["totalCount"] for name, connection in found.items()}
    assert totals == {"all": 3, "active": 2, "syncLog": 4, "organizations": 1}


async def test_sync_log_is_paged_newest_first(service: Service) -> None:
    for n in range(5):
        response = await service.deliver(named(f"M{n}"), f"evt_{n}")
        assert response.status_code == 200

    first = (await service.data(LOG, first=2))["syncLog"]
    await service.deliver(named("late"), "evt_late")
    second = (await service.data(LOG, first=2, after=first["pageInfo"]["endCursor"]))["syncLog"]
    third = (await service.data(LOG, first=2, after=second["pageInfo"]["endCursor"]))["syncLog"]

    assert nodes(first, "eventId") == ["evt_4", "evt_3"]
    assert nodes(second, "eventId") == ["evt_2", "evt_1"]
    assert nodes(third, "eventId") == ["evt_0"]
    assert [p["pageInfo"]["hasNextPage"] for p in (first, second, third)] == [True, True, False]


async def test_foreign_cursor_of_the_sync_log_is_refused_by_name(service: Service) -> None:
    for cursor in ("x", forged("syncLog"), forged("members:NAME:ASC", "a", 1)):
        assert refused_arguments(await service.ask(LOG, after=cursor)) == ["after"]


async def test_sync_log_of_a_member_is_paged_too(service: Service) -> None:
    await service.tell(
        named("A"), named("B"), updated("A", 1, profile={"phone": "1"}), deactivated("A", 2)
    )
    query = """query ($first: Int = 2, $after: String) { members(first: 1) { edges { node {
        displayName syncLog(first: $first, after: $after) { totalCount edges { node { eventType } }
          pageInfo { hasNextPage endCursor } } } } } }"""

    (edge,) = (await service.data(query))["members"]["edges"]
    log = edge["node"]["syncLog"]
    (rest,) = (await service.data(query, after=log["pageInfo"]["endCursor"]))["members"]["edges"]
    (whole,) = (await service.data(query, first=3))["members"]["edges"]

    assert (log["totalCount"], log["pageInfo"]["hasNextPage"]) == (3, True)
    assert nodes(log, "eventType") == ["membership-deactivated", "membership-updated"]
    assert nodes(rest["node"]["syncLog"], "eventType") == ["membership-created"]
    assert whole["node"]["syncLog"]["pageInfo"]["hasNextPage"] is False


async def test_organizations_are_paged_by_name(service: Service) -> None:
    for n, name in enumerate(["HLF Bergen", "HLF Asker", "HLF Oslo"]):
        await service.tell(created(f"M{n}", n, organization=organization(name)))
    query = """query ($after: String) { organizations(first: 2, after: $after) {
        edges { node { name } } pageInfo { hasNextPage endCursor } } }"""

    first = (await service.data(query))["organizations"]
    second = (await service.data(query, after=first["pageInfo"]["endCursor"]))["organizations"]

    assert nodes(first, "name") == ["HLF Asker", "HLF Bergen"]
    assert nodes(second, "name") == ["HLF Oslo"]


CHILDREN = """query ($first: Int, $after: String, $last: Int, $before: String) {
  organizations(first: 1) { edges { node {
    children(first: $first, after: $after, last: $last, before: $before) { totalCount
      edges { node { name } }
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } } } }"""


async def children(service: Service, **arguments: Any) -> dict[str, Any]:
    found = (await service.data(CHILDREN, **arguments))["organizations"]["edges"][0]["node"]
    below: dict[str, Any] = found["children"]
    return below


async def test_chapters_below_one_are_paged_in_both_directions(service: Service) -> None:
    for n, name in enumerate(["HLF Bergen", "HLF Asker", "HLF Oslo", "HLF Ås"]):
        await service.tell(created(f"M{n}", n, organization=organization(name, "HLF")))
    await service.tell(organization_updated("HLF", name="HLF", parentId=None))

    whole = await children(service)
    first = await children(service, first=3)
    rest = await children(service, after=first["pageInfo"]["endCursor"])
    back = await children(service, last=2, before=rest["pageInfo"]["startCursor"])

    names = nodes(whole, "name")
    assert sorted(names) == ["HLF Asker", "HLF Bergen", "HLF Oslo", "HLF Ås"]
    assert nodes(first, "name") + nodes(rest, "name") == names
    assert nodes(back, "name") == names[1:3]
    assert [first["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasNextPage"]] == [True, False]
    assert {page["totalCount"] for page in (whole, first, rest, back)} == {4}
