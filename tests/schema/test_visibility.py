"""Who may see and do what: one table of viewers, asked in every way there is."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.answers import codes, nodes
from tests.support.association import BERGEN, EVERYBODY, OSLO, found_association
from tests.support.builders import created, guid, organization, role
from tests.support.service import Service

ALL_MEMBERS = "{ members(first: 100) { totalCount edges { node { id givenName } } } }"
ALL_ENTRIES = "{ syncLog(first: 100) { totalCount edges { node { id eventId } } } }"
CATALOGUE = "{ roles { code accessLevel } }"
SET_ACCESS = """mutation ($code: String!, $level: AccessLevel!) {
    setRoleAccess(input: {code: $code, accessLevel: $level}) { __typename
      ... on SetRoleAccessSuccess { role { code accessLevel } holderCount }
      ... on UserError { code path } } }"""
SUBSCRIPTIONS = ["viewerChanges", "memberChanges", "syncLogChanges"]


@dataclass(frozen=True)
class Sight:
    """Of whom members and of whose log a viewer sees something; None: the log is refused."""

    members: set[str]
    log_of: set[str] | None = None
    keeps_catalogue: bool = False
    level: str = "MEMBER"
    place: str | None = field(default=None)


ADMIN_OF_OSLO = Sight(OSLO, log_of=OSLO, level="ADMIN", place="Oslo")
SIGHTS = {
    "Kari": Sight({"Kari"}, place="Oslo"),
    "Per": Sight({"Per"}, level="PEER_MENTOR", place="Oslo"),
    "coordinator of Oslo": Sight(OSLO, level="COORDINATOR", place="Oslo"),
    "coordinator of Bergen": Sight(BERGEN, level="COORDINATOR", place="Bergen"),
    "coordinator of Oslo county": Sight(
        OSLO | {"coordinator of Oslo county"}, level="COORDINATOR", place="Oslo county"
    ),
    "admin of Oslo": ADMIN_OF_OSLO,
    "admin of Bergen": Sight(BERGEN, log_of=BERGEN, level="ADMIN", place="Bergen"),
    "admin of HLF": Sight(EVERYBODY, EVERYBODY, keeps_catalogue=True, level="ADMIN", place="HLF"),
    "operator": Sight(EVERYBODY, EVERYBODY, keeps_catalogue=True, level="ADMIN"),
}
REFUSED = {
    "anonymous": "UNAUTHENTICATED",
    "unknown subject": "UNAUTHENTICATED",
    "inactive": "MEMBER_INACTIVE",
}


async def ask_as(service: Service, viewer: str, query: str, **variables: Any) -> dict[str, Any]:
    headers = {}
    if viewer != "anonymous":
        member = None if viewer == "operator" else viewer
        headers["Authorization"] = f"Bearer {service.token(member)}"
    response = await service.http.post(
        f"{service.url}/graphql", json={"query": query, "variables": variables}, headers=headers
    )
    answer: dict[str, Any] = response.json()
    answer.pop("extensions", None)
    return answer


async def data_for(service: Service, viewer: str, query: str, **variables: Any) -> dict[str, Any]:
    answer = await ask_as(service, viewer, query, **variables)
    assert "errors" not in answer, answer
    data: dict[str, Any] = answer["data"]
    return data


async def ids_of_members(service: Service) -> dict[str, str]:
    members = (await service.data(ALL_MEMBERS))["members"]
    return {edge["node"]["givenName"]: edge["node"]["id"] for edge in members["edges"]}


@pytest.fixture
async def association(service: Service) -> Service:
    await found_association(service)
    return service


async def test_members_are_those_in_sight_however_they_are_asked_for(
    association: Service,
) -> None:
    ids = await ids_of_members(association)
    assert set(ids) == EVERYBODY
    one = "query ($by: MemberLookup!) { member(by: $by) { givenName } }"
    several = "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Member { givenName } } }"

    for viewer, sight in SIGHTS.items():
        members = (await data_for(association, viewer, ALL_MEMBERS))["members"]
        by_ids = (await data_for(association, viewer, several, ids=list(ids.values())))["nodes"]

        assert set(nodes(members, "givenName")) == sight.members, viewer
        assert members["totalCount"] == len(sight.members)
        expected = [{"givenName": name} if name in sight.members else None for name in ids]
        assert by_ids == expected
        for name in ("Kari", "Mona", "admin of HLF"):
            seen = {"givenName": name} if name in sight.members else None
            for by in ({"id": ids[name]}, {"portalId": guid(name)}):
                assert (await data_for(association, viewer, one, by=by))["member"] == seen


async def test_organization_shows_only_members_in_sight(association: Service) -> None:
    query = """{ organizations(first: 5) { edges { node { name members(first: 20) { totalCount
        edges { node { givenName } } } } } } }"""

    for viewer, sight in SIGHTS.items():
        found = await data_for(association, viewer, query)
        by_name = {
            edge["node"]["name"]: edge["node"]["members"]
            for edge in found["organizations"]["edges"]
        }

        assert set(nodes(by_name["HLF"], "givenName")) == sight.members
        assert set(nodes(by_name["Oslo"], "givenName")) == sight.members & OSLO
        assert by_name["Bergen"]["totalCount"] == len(sight.members & BERGEN)


async def test_filters_and_cursors_widen_no_sight(association: Service) -> None:
    whole = await association.data(
        "{ members(first: 1) { pageInfo { endCursor } } organizations { edges { node { id } } } }"
    )
    cursor = whole["members"]["pageInfo"]["endCursor"]
    query = """query ($after: String, $within: ID, $filter: MemberFilter) {
        members(after: $after, organizationId: $within, filter: $filter) {
          edges { node { givenName } } } }"""

    for within in [None, *nodes(whole["organizations"], "id")]:
        for after in (None, cursor):
            for filter in (None, {"search": "mona"}, {"state": ["ACTIVE", "INACTIVE"]}):
                arguments = {"after": after, "within": within, "filter": filter}
                found = await data_for(association, "coordinator of Oslo", query, **arguments)

                assert set(nodes(found["members"], "givenName")) <= OSLO


async def test_log_is_of_the_organizations_administered_however_it_is_asked_for(
    association: Service,
) -> None:
    query = "{ syncLog(first: 100) { totalCount edges { node { id member { givenName } } } } }"
    log = (await association.data(query))["syncLog"]
    several = "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on SyncLogEntry { id } } }"

    for viewer, sight in SIGHTS.items():
        answer = await ask_as(association, viewer, query)
        by_ids = (await data_for(association, viewer, several, ids=nodes(log, "id")))["nodes"]
        seen = {node["id"] for node in by_ids if node is not None}

        if sight.log_of is None:
            assert codes(answer) == ["FORBIDDEN"], viewer
            assert answer["data"] is None
            assert seen == set()
        else:
            entries = answer["data"]["syncLog"]
            names = {member["givenName"] for member in nodes(entries, "member")}
            assert names == sight.log_of, viewer
            assert seen == set(nodes(entries, "id"))
            assert entries["totalCount"] == len(seen)


async def test_the_body_of_an_event_is_for_the_national_body_alone(association: Service) -> None:
    query = "{ syncLog(first: 100) { edges { node { eventId payload } } } }"

    for viewer, sight in SIGHTS.items():
        if sight.log_of is None:
            continue
        payloads = nodes((await data_for(association, viewer, query))["syncLog"], "payload")

        if viewer in ("operator", "admin of HLF"):
            told = {json.loads(payload)["data"]["member"]["id"] for payload in payloads}
            assert told == {guid(name) for name in sight.log_of}
        else:
            assert set(payloads) == {None}, viewer


async def test_log_of_a_member_is_for_those_who_may_read_a_log(association: Service) -> None:
    query = """query ($by: MemberLookup!) {
        member(by: $by) { syncLog { totalCount edges { node { eventType } } } } }"""
    by = {"portalId": guid("Kari")}

    for viewer, sight in SIGHTS.items():
        answer = await ask_as(association, viewer, query, by=by)

        member = answer["data"]["member"]
        if "Kari" in sight.members and sight.log_of:
            assert member["syncLog"]["totalCount"] == 1
            assert len(member["syncLog"]["edges"]) == 1
        else:
            assert member is None
            assert codes(answer) == (["FORBIDDEN"] if "Kari" in sight.members else [])


async def test_health_is_for_those_who_may_read_a_log(association: Service) -> None:
    for viewer, sight in SIGHTS.items():
        answer = await ask_as(
            association, viewer, "{ syncHealth { healthy lastHour { received } } }"
        )

        if sight.log_of is None:
            assert codes(answer) == ["FORBIDDEN"]
            assert answer["data"] is None
        else:
            assert answer["data"]["syncHealth"]["healthy"] is True


async def test_everybody_known_sees_roles_and_organizations(association: Service) -> None:
    query = "{ roles { id code } organizations { totalCount edges { node { id name } } } }"
    expected = await association.data(query)
    assert expected["organizations"]["totalCount"] == 5
    one = "query ($id: ID!) { node(id: $id) { id } }"

    for viewer in SIGHTS:
        assert await data_for(association, viewer, query) == expected
        for id in (expected["roles"][0]["id"], nodes(expected["organizations"], "id")[0]):
            assert (await data_for(association, viewer, one, id=id))["node"] == {"id": id}


async def test_viewer_sees_their_own_access(association: Service) -> None:
    query = """{ viewer { accessLevel credentialsExpireAt member { givenName }
        accesses { organization { name } accessLevel } } }"""

    for viewer, sight in SIGHTS.items():
        found = (await data_for(association, viewer, query))["viewer"]

        assert found["accessLevel"] == sight.level
        assert found["credentialsExpireAt"] is not None
        place = {"organization": {"name": sight.place}, "accessLevel": sight.level}
        assert found["accesses"] == ([place] if sight.place else [])
        assert found["member"] == (None if viewer == "operator" else {"givenName": viewer})


@pytest.mark.parametrize("viewer", REFUSED)
async def test_whoever_is_not_an_active_member_sees_nothing(
    association: Service, viewer: str
) -> None:
    ids = await ids_of_members(association)
    queries = [
        ALL_MEMBERS,
        ALL_ENTRIES,
        CATALOGUE,
        "{ organizations { totalCount } }",
        '{ organization(by: {id: "T3JnYW5pemF0aW9uOjE"}) { name } }',
        "{ syncHealth { healthy } }",
        f'{{ nodes(ids: ["{ids["Kari"]}"]) {{ id }} }}',
    ]
    nullable = [
        f'{{ node(id: "{ids[viewer if viewer in ids else "Kari"]}") {{ id }} }}',
        f'{{ member(by: {{portalId: "{guid(viewer)}"}}) {{ id }} }}',
    ]

    for query in (*queries, *nullable):
        answer = await ask_as(association, viewer, query)

        assert codes(answer) == [REFUSED[viewer]], query
        assert not any((answer["data"] or {}).values())


async def test_viewer_is_null_when_anonymous_and_refused_to_the_unknown_and_the_inactive(
    association: Service,
) -> None:
    query = "{ viewer { accessLevel } }"

    assert await ask_as(association, "anonymous", query) == {"data": {"viewer": None}}
    assert codes(await ask_as(association, "unknown subject", query)) == ["UNAUTHENTICATED"]
    assert codes(await ask_as(association, "inactive", query)) == ["MEMBER_INACTIVE"]


@pytest.mark.parametrize("query", ["{ viewer { accessLevel } }", "{ roles { id } }"])
async def test_member_who_is_not_known_yet_is_told_to_keep_the_token(
    association: Service, query: str
) -> None:
    unknown = await ask_as(association, "unknown subject", query)
    anonymous = await ask_as(association, "anonymous", "{ roles { id } }")

    (error,) = unknown["errors"]
    assert error["extensions"]["code"] == "UNAUTHENTICATED"
    assert error["extensions"]["reason"] == "MEMBER_UNKNOWN"
    assert "Keep the token" in error["message"]
    assert "reason" not in anonymous["errors"][0]["extensions"]


async def test_anonymous_may_ask_for_the_schema(service: Service) -> None:
    found = await data_for(service, "anonymous", "{ __schema { queryType { name } } }")

    assert found == {"__schema": {"queryType": {"name": "Query"}}}


async def test_invisible_and_absent_look_the_same(association: Service) -> None:
    ids = await ids_of_members(association)
    one = "query ($by: MemberLookup!) { member(by: $by) { givenName } }"
    node = "query ($id: ID!) { node(id: $id) { id } }"
    entry = (await association.data(ALL_ENTRIES))["syncLog"]["edges"][0]["node"]["id"]

    for viewer in ("Kari", "coordinator of Oslo", "admin of Oslo"):
        invisible = await ask_as(association, viewer, one, by={"portalId": guid("Mona")})
        absent = await ask_as(association, viewer, one, by={"portalId": guid("nobody at all")})
        assert invisible == absent == {"data": {"member": None}}

        invisible = await ask_as(association, viewer, node, id=ids["Mona"])
        absent = await ask_as(association, viewer, node, id="TWVtYmVyOjk5OTk5")  # Member:99999
        assert invisible == absent == {"data": {"node": None}}

    absent = await ask_as(association, "Kari", node, id="U3luY0xvZ0VudHJ5Ojk5OTk5")
    assert await ask_as(association, "Kari", node, id=entry) == absent == {"data": {"node": None}}


async def test_role_held_elsewhere_shows_the_member_there_and_gives_sight_there(
    association: Service,
) -> None:
    await association.tell(
        created(
            "Mona",
            9,
            organization=organization("Bergen", "Vest county"),
            roles=[role("peer-mentor", "Oslo"), role("coordinator", "Vest county")],
            profile={"givenName": "Mona"},
        )
    )

    by_oslo = (await data_for(association, "coordinator of Oslo", ALL_MEMBERS))["members"]
    by_mona = (await data_for(association, "Mona", ALL_MEMBERS))["members"]
    log_for_oslo = (await data_for(association, "admin of Oslo", ALL_ENTRIES))["syncLog"]

    assert set(nodes(by_oslo, "givenName")) == OSLO | {"Mona"}
    assert set(nodes(by_mona, "givenName")) == BERGEN
    # The log follows the home organization alone.
    assert log_for_oslo["totalCount"] == len(OSLO) + 1


async def catalogue(service: Service) -> dict[str, str]:
    roles = (await service.data(CATALOGUE))["roles"]
    return {role["code"]: role["accessLevel"] for role in roles}


async def test_role_catalogue_is_kept_by_the_national_body_alone(association: Service) -> None:
    before = await catalogue(association)
    change = {"code": "member", "level": "ADMIN"}

    for viewer in [*SIGHTS, *REFUSED]:
        sight = SIGHTS.get(viewer)
        if sight is not None and sight.keeps_catalogue:
            continue
        answer = await ask_as(association, viewer, SET_ACCESS, **change)

        assert codes(answer) == [REFUSED.get(viewer, "FORBIDDEN")], viewer
        assert answer["data"] is None
        assert await catalogue(association) == before

    for viewer in ("admin of HLF", "operator"):
        level = "PEER_MENTOR" if viewer == "operator" else "COORDINATOR"
        change = {"code": "peer-mentor", "level": level}
        result = (await data_for(association, viewer, SET_ACCESS, **change))["setRoleAccess"]

        assert result["role"] == {"code": "peer-mentor", "accessLevel": level}
        assert result["holderCount"] == 1
        assert await catalogue(association) == {**before, "peer-mentor": level}


async def test_chapter_whose_parent_is_not_stated_yet_is_no_national_body(
    service: Service,
) -> None:
    await service.tell(
        created(
            "Ada",
            organization={"id": guid("Stub"), "name": "Stub"},
            roles=[role("organization-administrator"), role("organization-administrator", "Other")],
        )
    )
    before = await catalogue(service)

    answer = await ask_as(service, "Ada", SET_ACCESS, code="member", level="ADMIN")

    assert codes(answer) == ["FORBIDDEN"]
    assert await catalogue(service) == before


async def test_unknown_role_code_is_an_expected_failure(association: Service) -> None:
    before = await catalogue(association)

    result = (
        await data_for(association, "operator", SET_ACCESS, code="no-such-role", level="ADMIN")
    )["setRoleAccess"]

    assert result == {
        "__typename": "RoleNotFoundError",
        "code": "ROLE_NOT_FOUND",
        "path": ["input", "code"],
    }
    assert await catalogue(association) == before


async def test_token_says_who_but_never_what_they_may_do(association: Service) -> None:
    token = association.token("Per")
    query = "{ viewer { accessLevel } members(first: 100) { totalCount } }"
    before = await association.data(query, token=token)

    await association.data(SET_ACCESS, code="peer-mentor", level="COORDINATOR")

    after = await association.data(query, token=token)
    assert before == {"viewer": {"accessLevel": "PEER_MENTOR"}, "members": {"totalCount": 1}}
    assert after == {
        "viewer": {"accessLevel": "COORDINATOR"},
        "members": {"totalCount": len(OSLO)},
    }
