"""`changes` and `viewerChanges(after:)`: what has happened since, for who was away."""

from typing import Any

import pytest

from tests.support.answers import codes
from tests.support.association import PEOPLE, found_association
from tests.support.builders import role, role_updated, updated
from tests.support.service import Service

CURSOR = "{ members(first: 1) { changeCursor } }"
CHANGES = """query ($after: ChangeCursor!, $first: Int) { changes(after: $after, first: $first) {
    changes { cursor operation memberId member { givenName phone } } cursor hasMore resync } }"""


async def cursor_of(service: Service) -> str:
    cursor: str = (await service.data(CURSOR))["members"]["changeCursor"]
    return cursor


async def missed(service: Service, member: str | None, after: str, **given: Any) -> dict[str, Any]:
    page: dict[str, Any] = (await service.data(CHANGES, member=member, after=after, **given))[
        "changes"
    ]
    return page


@pytest.fixture
async def association(service: Service) -> Service:
    await found_association(service)
    return service


async def test_everybody_is_told_of_those_whom_they_see(association: Service) -> None:
    service = association
    after = await cursor_of(service)
    changed = {"Kari", "Per", "Mona"}
    await service.tell(*(updated(name, 10, profile={"phone": "1"}) for name in sorted(changed)))

    for viewer in [name for name in PEOPLE if name != "inactive"] + [None]:
        seen = await service.data(
            "{ members(first: 100) { edges { node { givenName } } } }", member=viewer
        )
        names = {edge["node"]["givenName"] for edge in seen["members"]["edges"]}
        page = await missed(service, viewer, after, first=100)
        told = [change["member"]["givenName"] for change in page["changes"]]
        assert sorted(told) == sorted(names & changed), viewer
        assert (page["hasMore"], page["resync"]) == (False, None)
    refused = await service.ask(CHANGES, member="inactive", after=after)
    assert codes(refused) == ["MEMBER_INACTIVE"]


async def test_pages_follow_each_other_without_gap_or_repetition(association: Service) -> None:
    service = association
    after = await cursor_of(service)
    await service.tell(*(updated("Kari", 10 + n, profile={"phone": str(n)}) for n in range(5)))

    cursors: list[str] = []
    for more in (True, True, False):
        page = await missed(service, None, after, first=2)
        cursors += [change["cursor"] for change in page["changes"]]
        assert page["hasMore"] is more
        after = page["cursor"]

    assert len(cursors) == len(set(cursors)) == 5
    for size in (0, 101):
        refused = await service.ask(CHANGES, after=after, first=size)
        assert codes(refused) == ["BAD_USER_INPUT"]


async def test_a_cursor_of_another_database_is_answered_with_the_reason(
    association: Service,
) -> None:
    page = await missed(association, None, "b3RoZXI6MQ")

    assert (page["changes"], page["resync"]) == ([], "CURSOR_EXPIRED")


async def test_the_viewer_is_told_of_a_role_they_were_given_while_away(
    association: Service,
) -> None:
    service = association
    after = await cursor_of(service)
    await service.tell(role_updated("Kari", 10, roles=[role("coordinator")]))

    subscription = """subscription ($after: ChangeCursor) { viewerChanges(after: $after) {
        __typename ... on ViewerChange { viewer { accessLevel } } } }"""
    async with service.subscribe(subscription, member="Kari", after=after) as stream:
        change = await stream.next("ViewerChange")

    assert change["viewer"]["accessLevel"] == "COORDINATOR"
    assert (await missed(service, "Kari", after))["resync"] == "ACCESS_CHANGED"
