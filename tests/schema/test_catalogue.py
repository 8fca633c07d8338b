"""The role catalogue as its keepers see it: who holds what, and what nobody has decided yet."""

from typing import Any

from tests.support.builders import created, role, role_updated
from tests.support.service import Service

ROLES = "{ roles { code accessLevel decided holderCount } }"
SET = """
mutation ($input: SetRoleAccessInput!) {
  setRoleAccess(input: $input) { ... on SetRoleAccessSuccess { holderCount role { decided } } } }
"""


async def catalogue(service: Service) -> dict[str, dict[str, Any]]:
    return {role["code"]: role for role in (await service.data(ROLES))["roles"]}


async def test_a_code_that_came_with_an_event_is_undecided_until_somebody_says_what_it_gives(
    service: Service,
) -> None:
    await service.tell(created("Kari", roles=[role("member"), role("treasurer")]))
    before = (await catalogue(service))["treasurer"]

    # The level it has already: that, too, is a decision.
    given = {"code": "treasurer", "accessLevel": "MEMBER"}
    answer = (await service.data(SET, input=given))["setRoleAccess"]

    assert before == {
        "code": "treasurer",
        "accessLevel": "MEMBER",
        "decided": False,
        "holderCount": 1,
    }
    assert answer == {"holderCount": 1, "role": {"decided": True}}
    assert (await catalogue(service))["treasurer"]["decided"] is True
    assert (await catalogue(service))["coordinator"]["decided"] is True


async def test_holders_of_a_role_are_counted_once_wherever_they_hold_it(service: Service) -> None:
    await service.tell(
        created("Kari", roles=[role("coordinator"), role("coordinator", "HLF Bergen")]),
        created("Ola", roles=[role("coordinator", "HLF Bergen")]),
        created("Per", roles=[role("peer-mentor")]),
        role_updated("Per", roles=[]),
    )

    counts = {code: role["holderCount"] for code, role in (await catalogue(service)).items()}

    assert counts == {
        "member": 0,
        "peer-mentor": 0,
        "coordinator": 2,
        "organization-administrator": 0,
    }
