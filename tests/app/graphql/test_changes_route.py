"""`GET /changes`: what has changed for who was away, and what is waited for."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.support.association import found_association
from tests.support.builders import created, deactivated, guid, role, role_updated, updated
from tests.support.service import Service

PAGE = "{ members(first: 100) { changeCursor edges { node { id portalId } } } }"


async def begun(service: Service, member: str) -> str:
    """The cursor of a page that the member has read."""
    cursor: str = (await service.data(PAGE, member=member))["members"]["changeCursor"]
    return cursor


async def asked(
    service: Service, member: str | None, after: str | None, **given: Any
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {service.token(member)}", **given.pop("headers", {})}
    params = {**({"after": after} if after is not None else {}), **given}
    return await service.http.get(f"{service.url}/changes", params=params, headers=headers)


@pytest.fixture
async def association(service: Service) -> Service:
    await found_association(service)
    return service


async def test_changes_after_a_cursor_are_those_within_sight(association: Service) -> None:
    service = association
    after = await begun(service, "coordinator of Oslo")
    await service.tell(
        updated("Kari", 10, profile={"familyName": "Ås"}),
        updated("Mona", 10, profile={"familyName": "Berg"}),
        created("Ny", 10, organization={"id": guid("Oslo"), "name": "Oslo"}),
        updated("Per", 11, organization={"id": guid("Bergen"), "name": "Bergen"}),
        role_updated("Per", 12, roles=[]),
    )

    response = await asked(service, "coordinator of Oslo", after)

    answer = response.json()
    told = [(c["operation"], (c["member"] or {}).get("displayName")) for c in answer["changes"]]
    assert told[0] == ("UPDATED", "Kari Ås")
    assert told[1] == ("ADDED", "Ny Nordmann")
    assert told[2] == ("REMOVED", None)
    assert len(told) == 3
    assert answer["more"] is False
    assert answer["cursor"] == answer["changes"][-1]["cursor"]
    assert answer["changes"][0]["member"]["organization"]["name"] == "Oslo"
    assert answer["changes"][0]["member"]["roles"][0]["code"] == "member"
    assert "private" in response.headers["Cache-Control"]
    further = await asked(service, "coordinator of Oslo", answer["cursor"])
    assert further.json() == {"changes": [], "cursor": answer["cursor"], "more": False}


async def test_those_who_see_the_same_are_given_the_same_bytes(association: Service) -> None:
    service = association
    await service.tell(
        created(
            "second",
            5,
            organization={"id": guid("Oslo"), "name": "Oslo"},
            roles=[role("coordinator")],
        )
    )
    after = await begun(service, "second")
    await service.tell(updated("Kari", 10, profile={"phone": "1"}))

    one = await asked(service, "coordinator of Oslo", after)
    other = await asked(service, "second", after)

    assert one.content == other.content
    assert one.headers["ETag"] == other.headers["ETag"]
    same = await asked(service, "second", after, headers={"If-None-Match": one.headers["ETag"]})
    assert (same.status_code, same.content) == (304, b"")


async def test_a_request_that_waits_is_answered_by_the_change(association: Service) -> None:
    service = association
    after = await begun(service, "Kari")
    waiting = asyncio.create_task(asked(service, "Kari", after, wait=9))
    hidden = asyncio.create_task(asked(service, "Per", after, wait=1))

    assert (await hidden).json()["changes"] == []
    await service.tell(updated("Kari", 10, profile={"phone": "90000000"}))

    (change,) = (await waiting).json()["changes"]
    assert change["member"]["portalId"] == guid("Kari")


async def test_whose_membership_ends_is_told_so_while_they_wait(association: Service) -> None:
    service = association
    after = await begun(service, "Kari")
    waiting = asyncio.create_task(asked(service, "Kari", after, wait=9))

    await service.tell(deactivated("Kari", 10))

    for response in (await waiting, await asked(service, "Kari", after)):
        assert (response.status_code, response.json()["code"]) == (403, "MEMBER_INACTIVE")


async def test_who_has_come_to_see_other_things_begins_anew(association: Service) -> None:
    service = association
    after = await begun(service, "Kari")
    await service.tell(
        updated("Kari", 9, profile={"phone": "2"}),
        role_updated("Kari", 10, roles=[role("coordinator")]),
    )

    first = await asked(service, "Kari", after)
    assert first.json()["more"] is True
    assert len(first.json()["changes"]) == 1
    second = await asked(service, "Kari", first.json()["cursor"])
    assert (second.status_code, second.json()["code"]) == (410, "ACCESS_CHANGED")

    again = await begun(service, "Kari")
    await service.tell(updated("Per", 11, profile={"phone": "3"}))
    (change,) = (await asked(service, "Kari", again)).json()["changes"]
    assert change["member"]["portalId"] == guid("Per")


async def test_what_cannot_be_read_is_refused_with_what_to_do(association: Service) -> None:
    service = association
    after = await begun(service, "Kari")

    anonymous = await service.http.get(f"{service.url}/changes", params={"after": after})
    assert (anonymous.status_code, anonymous.json()["code"]) == (401, "UNAUTHENTICATED")
    unknown = await asked(service, "nobody", after)
    assert (unknown.status_code, unknown.json()["reason"]) == (401, "MEMBER_UNKNOWN")
    for given in (
        {"after": None},
        {"after": "x"},
        {"after": after, "wait": 26},
        {"after": after, "wait": "-1"},
        {"after": after, "wait": "x"},
    ):
        refused = await asked(service, "Kari", **given)
        assert (refused.status_code, refused.json()["code"]) == (400, "BAD_USER_INPUT")
