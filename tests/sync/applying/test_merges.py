"""Merges: two ids of the portal are of one person, through HTTP and sockets."""

from typing import Any

from tests.support.association import found_association
from tests.support.builders import created, event, guid, role, role_updated, updated
from tests.support.service import Service

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
