"""Answers that are built the short way are, to the byte, those that graphql-core gives."""

import json
from typing import Any

import pytest

from db.queries.organizations import OrganizationRow
from db.queries.roles import RoleRow
from db.vocabulary import AccessLevel, OrganizationId, PortalId, RoleId
from schema.build import build_schema
from schema.engine.compiled import UnexpectedValueError
from schema.types.nodes import OrganizationType, RoleType
from tests.support.association import found_association
from tests.support.service import Service

# In each, ROOT stands where a directive can be put that changes nothing, but that only graphql-core
# executes.
DOCUMENTS = {
    "a page": """{ members(first: 3) ROOT { totalCount pageInfo { hasNextPage endCursor }
        edges { cursor node { id displayName email phone state stateChangedAt accessLevel updatedAt
          organization { id name portalId } roles { since role { code accessLevel }
            organization { name } } } } } }""",
    "aliases and names of types": """{ people: members(first: 2) ROOT { __typename
        rows: edges { __typename who: node { __typename a: id b: id name: displayName } } } }""",
    "aliases that mean something in Python": """{ def: members(first: 2) ROOT { None: edges {
        class: node { root: displayName view: state exec: email __init__: organization { if: name }
          a1: id object1: roles { lambda: since } } } } }""",
    "fragments": """{ members(first: 2) ROOT { ...page ...page edges { node { id } } } }
        fragment page on MemberConnection { edges { ... { node { ...person organization { id } } } }
        }
        fragment person on Member { displayName organization { name ... on Node { id } } }""",
    "an interface": """query ($ids: [ID!]!) { nodes(ids: $ids) ROOT { id }
        members(first: 1) { edges { node { ... on Node { id } } } } }""",
    "two types that look alike": """query ($alike: [ID!]!) { nodes(ids: $alike) ROOT { id } }""",
    "abstract types": """query ($ids: [ID!]!) { nodes(ids: $ids) ROOT { __typename id
        ... on Member { displayName organization { name } } ... on Organization { name }
        ... on Role { code accessLevel }
        ... on SyncLogEntry { eventType changes { field after } } } }""",
    "several roots, in their order": """{ z: viewer ROOT { accessLevel } a: roles { code }
        m: syncLog(first: 2) { edges { node { status outcome lagMs attempts attemptHistory {
          trigger status } member { displayName } } } } }""",
    "an error beside an answer": """{ viewer ROOT { accessLevel } organization(id: "x") { id }
        roles { code } }""",
    "an error that leaves nothing": """{ viewer ROOT { accessLevel } members(first: 0) {
        totalCount } organization(id: "x") { id } }""",
    "nothing there": '{ member(by: {portalId: "nobody"}) ROOT { id } viewer { member { id } } }',
    "input": """query ($filter: MemberFilter, $order: MemberOrder = {field: NAME}) {
        members(filter: $filter, orderBy: $order, first: 2) ROOT { edges { node { displayName } } }
        other: members(filter: {state: [INACTIVE], role: null}, orderBy: {field: UPDATED_AT,
          direction: DESC}) { edges { node { displayName state } } } }""",
}


NOTHING: Any = None


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here is a matter of the database."""
    return sqlite_url


async def asked(service: Service, text: str, **variables: Any) -> str:
    response = await service.http.post(
        f"{service.url}/graphql",
        json={"query": text, "variables": variables},
        headers={"Authorization": f"Bearer {service.token()}", "X-Request-Id": "same"},
    )
    answer = response.json()
    # Columns differ by what was put in.
    for error in answer.get("errors", ()):
        del error["locations"]
    answer.get("errors", []).sort(key=lambda error: error["path"])
    return json.dumps(answer)


async def test_both_ways_give_the_same_answers(service: Service) -> None:
    documents = build_schema().documents
    await found_association(service)
    some = await service.data("""{ members(first: 1) { edges { node { id organization { id }
        roles { role { id } } } } } syncLog(first: 1) { edges { node { id } } } }""")
    member, entry = (some[field]["edges"][0]["node"] for field in ("members", "syncLog"))
    ids = [
        member["id"],
        entry["id"],
        member["organization"]["id"],
        member["roles"][0]["role"]["id"],
    ]
    given = {
        "ids": [*ids, ids[0]],
        "alike": ids[:2],
        "filter": {"state": ["ACTIVE"], "search": "o"},
    }

    for name, document in DOCUMENTS.items():
        short = document.replace("ROOT", "")
        long = document.replace("ROOT", "@include(if: true)")
        assert [operation.roots is None for operation in documents.read(short).operations] == [
            False
        ]
        assert [operation.roots is None for operation in documents.read(long).operations] == [True]
        variables = {key: value for key, value in given.items() if f"${key}" in document}

        assert await asked(service, short, **variables) == await asked(
            service, long, **variables
        ), name


@pytest.mark.parametrize(
    "roles",
    [
        pytest.param(None, id="no list"),
        pytest.param([None], id="nothing in it"),
        pytest.param([RoleType(RoleRow(RoleId(1), NOTHING, "", AccessLevel.NONE))], id="no text"),
        pytest.param([RoleType(RoleRow(RoleId(1), "a", "", NOTHING))], id="no value of an enum"),
        pytest.param([RoleType(NOTHING)], id="nothing to stand on"),
        pytest.param(
            [OrganizationType(OrganizationRow(OrganizationId(1), PortalId("a"), None, None))],
            id="another type",
        ),
    ],
)
def test_what_is_not_as_its_type_says_is_left_to_graphql_core(roles: Any) -> None:
    (operation,) = build_schema().documents.read("{ roles { id code accessLevel } }").operations
    assert operation.roots

    with pytest.raises(UnexpectedValueError):
        operation.roots[0].complete(roles)
