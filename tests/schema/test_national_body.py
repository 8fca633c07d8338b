"""The national body: named, not guessed; it keeps the catalogue and sees what belongs to nobody."""

from typing import Any

import pytest

from app.settings import Settings
from tests.support.association import PARENTS, chapter, found_association
from tests.support.bare_sockets import CHANGES, socket
from tests.support.builders import (
    created,
    deactivated,
    guid,
    organization,
    role,
    role_updated,
    updated,
)
from tests.support.service import Service

ADMIN = role("organization-administrator")
SET_ACCESS = """mutation ($code: String!, $level: AccessLevel!) {
    setRoleAccess(input: {code: $code, accessLevel: $level}) { __typename
        ... on UserError { code message path } } }"""
CATALOGUE = "{ roles { code accessLevel } }"
LOG = "subscription { syncLogChanges { __typename ... on SyncLogChange { entry { eventId } } } }"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"national_body": guid("HLF")})


async def set_access(
    service: Service, code: str, level: str, member: str | None = None
) -> dict[str, Any]:
    answer = await service.ask(SET_ACCESS, member=member, code=code, level=level)
    if "errors" in answer:
        return {"__typename": answer["errors"][0]["extensions"]["code"]}
    found: dict[str, Any] = answer["data"]["setRoleAccess"]
    return found


async def catalogue(service: Service) -> dict[str, str]:
    return {r["code"]: r["accessLevel"] for r in (await service.data(CATALOGUE))["roles"]}


async def test_administrator_of_another_root_gains_nothing_by_it(service: Service) -> None:
    await found_association(service)
    await service.tell(
        created("Siv", organization=organization("Splinter", None), roles=[ADMIN]),
        created("Odd", organization=organization("Splinter Oslo", "Splinter")),
    )
    before = await catalogue(service)

    refused = await set_access(service, "member", "ADMIN", member="Siv")
    viewer = await service.data("{ viewer { national } members { totalCount } }", member="Siv")

    assert refused == {"__typename": "FORBIDDEN"}
    assert await catalogue(service) == before
    assert viewer == {"viewer": {"national": False}, "members": {"totalCount": 2}}


async def test_another_root_takes_nothing_from_the_national_body(service: Service) -> None:
    await found_association(service)
    await service.tell(
        created("Odd", organization=organization("Splinter Oslo", "Splinter")),
        created("Siv", organization=organization("Splinter", None), roles=[ADMIN]),
    )

    given = await set_access(service, "peer-mentor", "COORDINATOR", member="admin of HLF")

    assert given == {"__typename": "SetRoleAccessSuccess"}


async def test_national_viewers_hear_of_what_belongs_to_nobody(service: Service) -> None:
    await found_association(service)

    async with socket(service, "admin of HLF") as one, socket(service, "admin of Oslo") as other:
        for each in (one, other):
            await each.subscribe("members", CHANGES)
            await each.subscribe("log", LOG)
            await each.values(2)
        await service.tell(updated("Homeless", profile={"givenName": "Homeless"}))
        await service.deliver(b"{}", "evt_unreadable")
        await service.tell(updated("Kari", 5, profile={"phone": "1"}))
        told = [value for _, value in await one.values(5)]
        told_elsewhere = [value for _, value in await other.values(2)]

    members = [v["member"]["givenName"] for v in told if "member" in v]
    entries = [v["entry"]["eventId"] for v in told if "entry" in v]
    assert members == ["Homeless", "Kari"]
    assert entries[1] == "evt_unreadable"
    assert len(entries) == 3
    assert {v["member"]["givenName"] for v in told_elsewhere if "member" in v} == {"Kari"}


async def test_moves_below_the_national_body_do_not_end_its_streams(service: Service) -> None:
    await found_association(service)

    async with socket(service, "admin of HLF") as one:
        await one.subscribe()
        await one.values(1)
        await service.tell(
            updated("Kari", 5, organization=organization("Oslo", "Vest county")),
            updated("Mona", 6, profile={"phone": "1"}),
        )
        ((_, told),) = await one.values(1)

    assert told["member"]["givenName"] == "Mona"


async def test_last_way_to_administer_the_national_body_is_not_taken_away(
    service: Service,
) -> None:
    await found_association(service)
    before = await catalogue(service)

    for viewer in ("admin of HLF", None):
        refused = await set_access(service, ADMIN["code"], "COORDINATOR", member=viewer)

        assert (refused["__typename"], refused["code"]) == (
            "LastAdministratorError",
            "LAST_ADMINISTRATOR",
        )
        assert refused["path"] == ["input", "accessLevel"]
        assert await catalogue(service) == before


@pytest.mark.parametrize(
    ("code", "home", "is_active", "is_refused"),
    [
        pytest.param("secretary", "HLF", True, False, id="another role there"),
        pytest.param("secretary", "Oslo", True, True, id="another role elsewhere"),
        pytest.param("secretary", "HLF", False, True, id="another role of an inactive member"),
        pytest.param("peer-mentor", "HLF", True, True, id="a lower role there"),
    ],
)
async def test_role_may_lose_its_level_while_another_gives_it_in_the_national_body(
    service: Service, code: str, home: str, is_active: bool, is_refused: bool
) -> None:
    await found_association(service)
    await service.tell(created("Liv", 1, organization=chapter(home), roles=[role(code)]))
    if not is_active:
        await service.tell(deactivated("Liv", 2))
    if code == "secretary":
        await set_access(service, "secretary", "ADMIN")

    result = await set_access(service, ADMIN["code"], "MEMBER", member="admin of HLF")

    refused = result["__typename"] == "LastAdministratorError"
    assert refused is is_refused
    level = (await catalogue(service))[ADMIN["code"]]
    assert level == ("ADMIN" if is_refused else "MEMBER")


async def test_level_that_is_set_already_takes_nobody_away(service: Service) -> None:
    await found_association(service)

    result = await set_access(service, ADMIN["code"], "ADMIN", member="admin of HLF")

    assert result == {"__typename": "SetRoleAccessSuccess"}


async def test_role_may_lose_its_level_where_nobody_administers_the_national_body(
    service: Service,
) -> None:
    await service.tell(created("Ola", organization=chapter("Oslo"), roles=[ADMIN]))

    result = await set_access(service, ADMIN["code"], "MEMBER")

    assert result == {"__typename": "SetRoleAccessSuccess"}


async def test_national_body_is_known_by_its_id_before_its_place_is(service: Service) -> None:
    """The catalogue can be kept before any event has said that nothing is above it."""
    assert PARENTS["HLF"] is None
    await service.tell(
        created("Ida", organization={"id": guid("HLF"), "name": "HLF"}),
        role_updated("Ida", 1, roles=[ADMIN]),
    )

    given = await set_access(service, "peer-mentor", "COORDINATOR", member="Ida")

    assert given == {"__typename": "SetRoleAccessSuccess"}
