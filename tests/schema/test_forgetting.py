"""`forgetMember`: who may forget a person, and that the person's own token ends with it."""

from typing import Any

import pytest

from tests.support.builders import created, guid, organization, role
from tests.support.service import Service

FORGET = """mutation ($input: ForgetMemberInput!) { forgetMember(input: $input) { __typename
    ... on ForgetMemberSuccess { report } ... on UserError { code path } } }"""


async def forget(service: Service, portal_id: str, reason: str = "Case 17") -> dict[str, Any]:
    given = {"portalId": portal_id, "reason": reason}
    found: dict[str, Any] = (await service.data(FORGET, input=given))["forgetMember"]
    return found


async def test_member_is_gone_and_the_audit_trail_tells_why(service: Service) -> None:
    await service.deliver(created("Kari", 0, roles=[role("member")]))

    done = await forget(service, guid("Kari"))

    assert done["__typename"] == "ForgetMemberSuccess"
    assert "members 1" in done["report"]
    found = await service.data(
        "query ($id: String!) { member(by: {portalId: $id}) { id } "
        "auditTrail(first: 1) { edges { node { action detail } } } }",
        id=guid("Kari"),
    )
    act = {"action": "MEMBER_FORGOTTEN", "detail": "Case 17"}
    assert found == {"member": None, "auditTrail": {"edges": [{"node": act}]}}


@pytest.mark.parametrize(
    ("id", "reason", "code", "field"),
    [
        (guid("Kari"), " ", "REASON_MISSING", "reason"),
        (guid("Kari"), "Ask Nordmann", "REASON_NAMES_PERSON", "reason"),
        ("no id!", "Case 17", "PORTAL_ID_INVALID", "portalId"),
    ],
)
async def test_what_is_wrong_is_said_and_nobody_is_forgotten(
    service: Service, id: str, reason: str, code: str, field: str
) -> None:
    await service.deliver(created("Kari", 0, organization=organization()))

    refused = await forget(service, id, reason)

    assert refused == {"__typename": "ForgetMemberError", "code": code, "path": ["input", field]}
    found = await service.data(
        "query ($id: String!) { member(by: {portalId: $id}) { familyName } }", id=guid("Kari")
    )
    assert found["member"] == {"familyName": "Nordmann"}
