"""Provenance: from each part of a member to the event that decided it."""

from typing import Any

from tests.support.association import chapter, found_association
from tests.support.builders import at, created, guid, role, role_updated, updated
from tests.support.service import Service
from tests.support.statements import of_requests, recorded

PROVENANCE = """query ($id: String!) { member(by: {portalId: $id}) { provenance {
    part statedAt entry { source eventId eventType organization { name } } } } }"""
CORRECT = """mutation ($id: String!) { correctMembership(input: {portalId: $id, reason: "Wrong",
    profile: {phone: "7"}}) { __typename } }"""
ALL = "{ members(first: 100) { edges { node { provenance { part entry { eventType } } } } } }"


async def provenance(service: Service, member: str | None = None) -> dict[str, dict[str, Any]]:
    found = (await service.data(PROVENANCE, member=member, id=guid("Kari")))["member"]
    return {part["part"]: part for part in found["provenance"]}


async def test_each_part_names_the_event_that_decided_it(service: Service) -> None:
    await service.deliver(
        created("Kari", 0, profile={"givenName": "Kari", "phone": "1"}), "evt_joined"
    )
    await service.deliver(role_updated("Kari", 3, roles=[role("coordinator")]), "evt_roles")
    await service.deliver(updated("Kari", 2, profile={"givenName": "Kåre"}), "evt_name")
    # Older than what is known, so it decides nothing.
    await service.deliver(updated("Kari", 1, profile={"givenName": "Karl"}), "evt_late")
    await service.data(CORRECT, id=guid("Kari"))

    parts = await provenance(service)

    decided = {name: part["entry"]["eventId"] for name, part in parts.items()}
    assert decided.pop("phone").startswith("correction-")
    assert decided == {
        "memberNumber": "evt_joined",
        "givenName": "evt_name",
        "familyName": "evt_joined",
        "email": "evt_joined",
        "organization": "evt_joined",
        "roles": "evt_roles",
        "state": "evt_joined",
    }
    assert parts["phone"]["entry"]["source"] == "correction"
    assert parts["givenName"]["statedAt"].startswith(at(2).removesuffix("Z"))


async def test_what_was_never_stated_has_no_provenance(service: Service) -> None:
    await service.tell(updated("Kari", profile={"phone": "1"}))

    assert list(await provenance(service)) == ["phone"]


async def test_entry_in_the_log_of_another_chapter_is_not_shown(service: Service) -> None:
    await found_association(service)
    await service.tell(updated("Kari", 5, organization=chapter("Bergen")))

    of_bergen = await provenance(service, "admin of Bergen")

    assert of_bergen["organization"]["entry"]["organization"] == {"name": "Bergen"}
    assert of_bergen["givenName"]["entry"] is None
    assert await provenance(service, "Kari") == {}
    assert (await provenance(service))["givenName"]["entry"] is not None


async def test_number_of_statements_does_not_depend_on_the_number_of_members(
    service: Service,
) -> None:
    async def count() -> int:
        with recorded() as statements:
            await service.data(ALL)
        return len(of_requests(statements))

    await service.tell(created("Kari"))
    await count()
    alone = await count()
    await found_association(service)

    assert await count() == alone
