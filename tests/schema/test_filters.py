"""Filters of members and of the sync log, and input that no row can meet."""

import json
import uuid
from typing import Any

import pytest

from tests.support.answers import codes, nodes, refused_arguments
from tests.support.builders import (
    created,
    deactivated,
    guid,
    organization,
    reactivated,
    role,
    role_updated,
    updated,
)
from tests.support.service import Service

MEMBERS = """
query ($filter: MemberFilter, $organizationId: ID) {
  members(filter: $filter, organizationId: $organizationId) {
    totalCount edges { node { givenName } } } }
"""
LOG = """
query ($filter: SyncLogFilter, $organizationId: ID) {
  syncLog(filter: $filter, organizationId: $organizationId) {
    totalCount edges { node { eventId receivedAt } } } }
"""


async def found(service: Service, *, within: str | None = None, **filter: Any) -> set[str]:
    """The given names of the members who meet the filter."""
    arguments = {"filter": filter, "organizationId": within}
    members = (await service.data(MEMBERS, **arguments))["members"]
    names = nodes(members, "givenName")
    assert members["totalCount"] == len(names)
    return set(names)


async def logged(service: Service, *, within: str | None = None, **filter: Any) -> list[str]:
    """The event ids of the entries that meet the filter, newest first."""
    arguments = {"filter": filter, "organizationId": within}
    log = (await service.data(LOG, **arguments))["syncLog"]
    ids = nodes(log, "eventId")
    assert log["totalCount"] == len(ids)
    return ids


async def id_of(service: Service, organization_name: str) -> str:
    data = await service.data("{ organizations { edges { node { id name } } } }")
    nodes = [edge["node"] for edge in data["organizations"]["edges"]]
    id: str = next(node["id"] for node in nodes if node["name"] == organization_name)
    return id


async def member_id(service: Service, name: str) -> str:
    query = "query ($by: MemberLookup!) { member(by: $by) { id } }"
    id: str = (await service.data(query, by={"portalId": guid(name)}))["member"]["id"]
    return id


async def test_members_are_filtered_by_state_role_and_access_level(service: Service) -> None:
    await service.tell(
        created("Kari"),
        created("Per", roles=[role("peer-mentor"), role("member")]),
        created("Mona", roles=[role("coordinator"), role("peer-mentor")]),
        created("Ola", roles=[role("coordinator")]),
        deactivated("Ola"),
        created("Nils", roles=[]),
    )

    assert await found(service, state=["ACTIVE"]) == {"Kari", "Per", "Mona", "Nils"}
    assert await found(service, state=["INACTIVE"]) == {"Ola"}
    assert await found(service, state=["INACTIVE", "ACTIVE"]) == await found(service)
    assert await found(service, role=["peer-mentor"]) == {"Per", "Mona"}
    assert await found(service, role=["coordinator", "member"]) == {"Kari", "Per", "Mona", "Ola"}
    assert await found(service, role=["nobody-has-it"]) == set()
    assert await found(service, accessLevel=["PEER_MENTOR"]) == {"Per"}
    assert await found(service, accessLevel=["NONE"]) == {"Ola", "Nils"}
    assert await found(service, accessLevel=["MEMBER", "COORDINATOR"]) == {"Kari", "Mona"}


async def test_all_conditions_of_a_filter_must_hold(service: Service) -> None:
    await service.tell(
        created("Kari", roles=[role("coordinator")]),
        created("Per", roles=[role("coordinator")]),
        deactivated("Per"),
    )

    assert await found(service, role=["coordinator"], state=["ACTIVE"]) == {"Kari"}
    assert await found(service, role=["coordinator"], state=["ACTIVE"], search="per") == set()


async def test_empty_list_of_a_filter_is_met_by_nobody_and_null_by_everybody(
    service: Service,
) -> None:
    await service.tell(created("Kari"))

    for condition in ("state", "role", "accessLevel"):
        nothing: dict[str, Any] = {condition: []}
        anything: dict[str, Any] = {condition: None}
        assert await found(service, **nothing) == set()
        assert await found(service, **anything) == {"Kari"}
    for condition in ("status", "outcome", "eventType", "source"):
        nothing, anything = {condition: []}, {condition: None}
        assert await logged(service, **nothing) == []
        assert len(await logged(service, **anything)) == 1


async def test_access_level_follows_the_role_catalogue(service: Service) -> None:
    await service.tell(created("Kari", roles=[role("choir-leader")]))
    assert await found(service, accessLevel=["COORDINATOR"]) == set()

    await service.data(
        'mutation { setRoleAccess(input: {code: "choir-leader", accessLevel: COORDINATOR}) '
        "{ __typename } }"
    )

    assert await found(service, accessLevel=["COORDINATOR"]) == {"Kari"}
    assert await found(service, accessLevel=["MEMBER"]) == set()


async def test_search_finds_beginnings_of_names_number_and_email(service: Service) -> None:
    people = {
        "Kari": ("Nordmann", "104233", "kari.n@example.no"),
        "Åse Marie": ("Ødegård-Hansen", "99", "ase@example.no"),
        "Per_1": ("100%", "20%4", "p_er@example.no"),
        "Perx1": ("1000", "2034", "pxer@example.no"),
    }
    for given, (family, number, email) in people.items():
        profile = {"givenName": given, "familyName": family, "memberNumber": number}
        await service.tell(created(given, profile={**profile, "email": email}))

    expected = {
        "kari": {"Kari"},
        "KAR": {"Kari"},
        "ari": set(),
        "nordm kari": {"Kari"},
        "kari 1042": {"Kari"},
        "kari ødegård": set(),
        "1042": {"Kari"},
        "4233": set(),
        "kari.n@": {"Kari"},
        "ÅSE": {"Åse Marie"},
        "ÖDEGÅRD": set(),
        "ØDEG mar": {"Åse Marie"},
        "A\u030ase": {"Åse Marie"},
        "hansen": {"Åse Marie"},
        "ansen": set(),
        "nordmann, kari": {"Kari"},
        "nordmann,kari": {"Kari"},
        ", ": {"Kari", "Åse Marie", "Per_1", "Perx1"},
        "per_": {"Per_1"},
        "p_er": {"Per_1"},
        "100%": {"Per_1"},
        "20%": {"Per_1"},
        "%": set(),
        "_": set(),
        "\\": set(),
        "per": {"Per_1", "Perx1"},
        "": {"Kari", "Åse Marie", "Per_1", "Perx1"},
        "   ": {"Kari", "Åse Marie", "Per_1", "Perx1"},
        "'; --": set(),
    }
    for text, names in expected.items():
        assert await found(service, search=text) == names, text


async def test_members_are_filtered_by_the_time_of_their_last_change(service: Service) -> None:
    await service.tell(created("Kari"), created("Per"))
    data = await service.data(
        "query ($by: MemberLookup!) { member(by: $by) { updatedAt } }",
        by={"portalId": guid("Per")},
    )
    moment = data["member"]["updatedAt"]

    assert await found(service, changedSince=moment) == {"Per"}
    assert await found(service, changedSince="2000-01-01T01:00:00+01:00") == {"Kari", "Per"}
    assert await found(service, changedSince="2999-01-01T00:00:00Z") == set()

    await service.tell(updated("Kari", profile={"phone": "1"}))

    assert await found(service, changedSince=moment) == {"Kari", "Per"}


async def test_organization_includes_everything_below_it_and_roles_held_there(
    service: Service,
) -> None:
    county = organization("Oslo county", "HLF")
    await service.tell(
        created("Nora", organization=organization("HLF")),
        created("Carl", organization=county),
        created("Lars", organization=organization("HLF Oslo", "Oslo county")),
        created("Ida", organization=organization("HLF Bergen", "HLF")),
        created(
            "Rolf",
            organization=organization("HLF Bergen", "HLF"),
            roles=[role("coordinator", "HLF Oslo")],
        ),
    )

    national, oslo_county, oslo, bergen = [
        await id_of(service, name) for name in ("HLF", "Oslo county", "HLF Oslo", "HLF Bergen")
    ]

    assert await found(service, within=national) == {"Nora", "Carl", "Lars", "Ida", "Rolf"}
    assert await found(service, within=oslo_county) == {"Carl", "Lars", "Rolf"}
    assert await found(service, within=oslo) == {"Lars", "Rolf"}
    assert await found(service, within=bergen) == {"Ida", "Rolf"}
    assert await found(service, within=oslo, search="lars") == {"Lars"}
    by_field = await service.data(
        """query ($id: ID!) { organization(by: {id: $id}) {
            members { edges { node { givenName } } } } }""",
        id=oslo_county,
    )
    assert nodes(by_field["organization"]["members"], "givenName") == ["Carl", "Lars", "Rolf"]
    assert len(await logged(service, within=national)) == 5
    assert len(await logged(service, within=oslo_county)) == 2
    assert len(await logged(service, within=bergen)) == 2


async def log_of_everything(service: Service) -> None:
    """One entry for most statuses and outcomes, named after what it is."""
    await service.deliver(created("Kari"), "created")
    await service.deliver(role_updated("Kari", 5, roles=[role("peer-mentor")]), "updated")
    await service.deliver(role_updated("Kari", 6, roles=[role("peer-mentor")]), "unchanged")
    await service.deliver(role_updated("Kari", 4, roles=[]), "stale")
    await service.deliver(deactivated("Kari", 7), "deactivated")
    await service.deliver(reactivated("Kari", 8), "reactivated")
    await service.deliver({**created("Per"), "type": "membership-celebrated"}, "ignored")
    await service.deliver({"type": "role-updated", "timestamp": "?"}, "rejected")
    await service.deliver(created("Per"), "created-per")


async def test_log_is_filtered_by_status_outcome_type_and_member(service: Service) -> None:
    await log_of_everything(service)
    kari = await member_id(service, "Kari")

    assert await logged(service, status=["REJECTED"]) == ["rejected"]
    assert await logged(service, status=["SKIPPED"]) == ["ignored", "stale"]
    assert await logged(service, status=["PENDING", "FAILED", "DEAD"]) == []
    assert len(await logged(service, status=["SUCCESS"])) == 6
    for outcome in ("updated", "unchanged", "stale", "deactivated", "reactivated", "ignored"):
        assert await logged(service, outcome=[outcome.upper()]) == [outcome]
    assert await logged(service, outcome=["CREATED"]) == ["created-per", "created"]
    assert await logged(service, eventType=["membership-created"]) == ["created-per", "created"]
    types = ["membership-celebrated", "membership-deactivated"]
    assert await logged(service, eventType=types) == ["ignored", "deactivated"]
    about_kari = ["reactivated", "deactivated", "stale", "unchanged", "updated", "created"]
    assert await logged(service, memberId=kari) == about_kari
    assert await logged(service, memberId=kari, status=["SKIPPED"]) == ["stale"]


async def test_log_is_filtered_by_source(service: Service) -> None:
    await service.deliver(created("Kari"), "one")

    assert await logged(service, source=["portal"]) == ["one"]
    assert await logged(service, source=["portal", "other"]) == ["one"]
    assert await logged(service, source=["other"]) == []


async def test_log_is_filtered_by_time_of_receipt_up_to_but_without_the_end(
    service: Service,
) -> None:
    for n in range(3):
        await service.deliver(created(f"M{n}"), f"evt_{n}")
    log = (await service.data(LOG))["syncLog"]
    last, middle, first = nodes(log, "receivedAt")

    assert await logged(service, receivedFrom=middle) == ["evt_2", "evt_1"]
    assert await logged(service, receivedBefore=middle) == ["evt_0"]
    assert await logged(service, receivedFrom=first, receivedBefore=last) == ["evt_1", "evt_0"]
    assert await logged(service, receivedFrom=last, receivedBefore=first) == []


BAD_MEMBER_FILTERS: list[tuple[dict[str, Any], str]] = [
    ({"search": "a\0"}, "search"),
    ({"search": "x" * 101}, "search"),
    ({"role": ["member", "\0"]}, "role"),
    ({"changedSince": "2026-11-01T09:00:00"}, "changedSince"),
    ({"changedSince": "2026-11-01"}, "changedSince"),
    ({"changedSince": "0001-01-01T00:00:00+14:00"}, "changedSince"),
    ({"changedSince": "9999-12-31T23:59:59-14:00"}, "changedSince"),
]


async def test_filter_no_member_can_meet_is_refused_by_name(service: Service) -> None:
    for filter, argument in BAD_MEMBER_FILTERS:
        answer = await service.ask(MEMBERS, filter=filter)

        assert refused_arguments(answer) == [argument]


async def test_filter_no_entry_can_meet_is_refused_by_name(service: Service) -> None:
    await service.tell(created("Kari"))
    organization_id = await id_of(service, "HLF Oslo")
    bad: list[tuple[dict[str, Any], str]] = [
        ({"eventType": ["\0"]}, "eventType"),
        ({"source": ["a\0b"]}, "source"),
        ({"memberId": organization_id}, "memberId"),
        ({"memberId": ""}, "memberId"),
        ({"memberId": guid("Kari")}, "memberId"),
        ({"receivedFrom": "2026-11-01T09:00:00"}, "receivedFrom"),
        ({"receivedBefore": "2026-11-01T09:00:00"}, "receivedBefore"),
    ]

    for filter, argument in bad:
        answer = await service.ask(LOG, filter=filter)

        assert refused_arguments(answer) == [argument]


NOT_IDS = [
    "",
    "1",
    "æ",
    "\0",
    "Organization:1",
    "T3JnYW5pemF0aW9uOi0x",  # Organization:-1
    "T3JnYW5pemF0aW9uOg",  # Organization:
    "T3JnYW5pemF0aW9uOjk5OTk5OTk5OTk5OTk5OTk5OTk5",  # Organization:99999999999999999999
    "T3JnYW5pemF0aW9uOtmh",  # Organization: and an Arabic digit
    "UGVyc29uOjE",  # Person:1
    "bWVtYmVyOjE",  # member:1
]


async def test_text_that_is_no_id_is_refused_by_name(service: Service) -> None:
    queries = {
        "organizationId": "query ($id: ID!) { members(organizationId: $id) { totalCount } }",
        "id": "query ($id: ID!) { node(id: $id) { id } }",
        "by.id": "query ($id: ID!) { member(by: {id: $id}) { portalId } }",
    }

    for text in NOT_IDS:
        chapter = await service.ask(
            "query ($id: ID!) { organization(by: {id: $id}) { name } }", id=text
        )
        assert refused_arguments(chapter) == ["by.id"]
        for argument, query in queries.items():
            assert refused_arguments(await service.ask(query, id=text)) == [argument]


async def test_id_of_nothing_that_exists_finds_nothing(service: Service) -> None:
    await service.tell(created("Kari"))
    absent = "T3JnYW5pemF0aW9uOjk5OTk"  # Organization:9999

    assert await found(service, within=absent) == set()
    assert await logged(service, within=absent) == []


SURROGATES = [
    r'{ members(filter: {search: "\ud800"}) { totalCount } }',
    r'{ members(filter: {role: ["\ud800"]}) { totalCount } }',
    r'{ members(organizationId: "\ud800") { totalCount } }',
    r'{ members(after: "\ud800") { totalCount } }',
    r'{ syncLog(filter: {source: ["\ud800"]}) { totalCount } }',
    r'{ member(by: {portalId: "\ud800"}) { id } }',
    r'{ member(by: {id: "\ud800"}) { id } }',
    r'{ node(id: "\ud800") { id } }',
    r'{ nodes(ids: ["\ud800"]) { id } }',
    r'mutation { setRoleAccess(input: {code: "\ud800", accessLevel: ADMIN}) { __typename } }',
]


async def test_half_a_character_in_a_variable_is_refused(service: Service) -> None:
    for name, type, use in [
        ("search", "String", "members(filter: {search: $v}) { totalCount }"),
        ("role", "String!", "members(filter: {role: [$v]}) { totalCount }"),
        ("organizationId", "ID", "members(organizationId: $v) { totalCount }"),
        ("after", "String", "members(after: $v) { totalCount }"),
        ("source", "String!", "syncLog(filter: {source: [$v]}) { totalCount }"),
        ("by.portalId", "String!", "member(by: {portalId: $v}) { id }"),
        ("by.id", "ID!", "member(by: {id: $v}) { id }"),
        ("id", "ID!", "node(id: $v) { id }"),
        ("ids", "ID!", "nodes(ids: [$v]) { id }"),
    ]:
        # Written by hand: a JSON library would refuse to.
        body = f'{{"query": "query ($v: {type}) {{ {use} }}", "variables": {{"v": "\\ud800"}}}}'

        response = await post(service, body.encode())

        assert refused_arguments(response) == [name]


async def test_half_a_character_in_a_document_is_never_an_internal_error(
    service: Service,
) -> None:
    for document in SURROGATES:
        escaped = document.replace("\\", "\\\\").replace('"', '\\"')
        raw = document.replace('"', '\\"')  # Here the surrogate itself is in the document.
        for text in (escaped, raw):
            answer = await post(service, f'{{"query": "{text}"}}'.encode())

            assert answer["errors"]
            assert "INTERNAL_SERVER_ERROR" not in codes(answer), (text, answer)


async def post(service: Service, body: bytes) -> dict[str, Any]:
    response = await service.http.post(
        f"{service.url}/graphql",
        content=body,
        headers={
            "authorization": f"Bearer {service.token()}",
            "content-type": "application/json",
        },
    )
    answer: dict[str, Any] = response.json()
    return answer


async def test_member_is_found_by_the_portal_id_however_it_is_written(service: Service) -> None:
    await service.tell(created("Kari"))
    query = "query ($by: MemberLookup!) { member(by: $by) { givenName } }"
    id = guid("Kari")

    for written in (id, id.upper(), f"{{{id}}}", f" {id} "):
        assert (await service.data(query, by={"portalId": written}))["member"] is not None
    assert (await service.data(query, by={"portalId": str(uuid.uuid4())}))["member"] is None


async def test_member_lookup_takes_exactly_one_id(service: Service) -> None:
    query = "query ($by: MemberLookup!) { member(by: $by) { givenName } }"

    for by in ({}, {"id": None}, {"portalId": None}, {"id": "x", "portalId": "y"}):
        answer = await service.ask(query, by=by)

        assert answer.get("data") is None
        assert "INTERNAL_SERVER_ERROR" not in codes(answer)


async def test_more_than_a_hundred_ids_are_refused(service: Service) -> None:
    answer = await service.ask(
        "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=["T3JnYW5pemF0aW9uOjE"] * 101
    )

    assert refused_arguments(answer) == ["ids"]


@pytest.mark.parametrize("moment", ['"soon"', '"2026-13-01T00:00:00Z"', "5", "true"])
async def test_what_is_no_time_is_refused_with_its_place_and_an_example(
    service: Service, moment: str
) -> None:
    answers = [
        await service.ask(f"{{ members(filter: {{changedSince: {moment}}}) {{ totalCount }} }}"),
        await service.ask(
            "query ($filter: MemberFilter) { members(filter: $filter) { totalCount } }",
            filter={"changedSince": json.loads(moment)},
        ),
    ]

    for answer in answers:
        assert codes(answer) == ["BAD_USER_INPUT"]
        (error,) = answer["errors"]
        assert "2026-11-23T09:30:00Z" in error["message"]
        assert error["locations"]
