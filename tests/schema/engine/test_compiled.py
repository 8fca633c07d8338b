"""Answers of compiled functions are, to the byte, those that graphql-core gives alone."""

import json
from dataclasses import replace
from typing import Any

import pytest
from graphql import (
    BooleanValueNode,
    ConstArgumentNode,
    DirectiveNode,
    FieldNode,
    NameNode,
    Visitor,
    parse,
    print_ast,
    visit,
)

from schema.build import Schema, build_schema
from schema.engine.walk import Walk
from tests.support.association import found_association
from tests.support.service import Service

DOCUMENTS = {
    "a page": """{ members(first: 3) { totalCount pageInfo { hasNextPage endCursor }
        edges { cursor node { id displayName email phone state stateChangedAt accessLevel updatedAt
          organization { id name portalId } roles { since role { code accessLevel }
            organization { name } } } } } }""",
    "aliases and names of types": """{ people: members(first: 2) { __typename
        rows: edges { __typename who: node { __typename a: id b: id name: displayName } } } }""",
    "aliases that mean something in Python": """{ def: members(first: 2) { None: edges {
        class: node { root: displayName view: state exec: email __init__: organization { if: name }
          a1: id object1: roles { lambda: since } } } } }""",
    "fragments": """{ members(first: 2) { ...page ...page edges { node { id } } } }
        fragment page on MemberConnection { edges { ... { node { ...person organization { id } } } }
        }
        fragment person on Member { displayName organization { name ... on Node { id } } }""",
    "an interface": """query ($ids: [ID!]!) { nodes(ids: $ids) { id }
        members(first: 1) { edges { node { ... on Node { id } } } } }""",
    "two types that look alike": """query ($alike: [ID!]!) { nodes(ids: $alike) { id } }""",
    "abstract types": """query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id
        ... on Member { displayName organization { name } } ... on Organization { name }
        ... on Role { code accessLevel }
        ... on SyncLogEntry { eventType attemptHistory { trigger } } } }""",
    "several roots, in their order": """{ z: viewer { accessLevel } a: roles { code }
        m: syncLog(first: 2) { edges { node { status outcome lagMs attempts attemptHistory {
          trigger status } member { displayName } } } } }""",
    "an error beside an answer": """{ viewer { accessLevel } organization(by: {id: "x"}) { id }
        roles { code } }""",
    "an error that leaves nothing": """{ viewer { accessLevel } members(first: 0) {
        totalCount } organization(by: {id: "x"}) { id } }""",
    "nothing there": '{ member(by: {portalId: "nobody"}) { id } viewer { member { id } } }',
    "input": """query ($filter: MemberFilter, $order: MemberOrder = {field: NAME}) {
        members(filter: $filter, orderBy: $order, first: 2) { edges { node { displayName } } }
        other: members(filter: {state: [INACTIVE], role: null}, orderBy: {field: UPDATED_AT,
          direction: DESC}) { edges { node { displayName state } } } }""",
}


_INCLUDE = DirectiveNode(
    name=NameNode(value="include"),
    arguments=(ConstArgumentNode(name=NameNode(value="if"), value=BooleanValueNode(value=True)),),
)


class _Conditional(Visitor):
    """Puts a directive at each field, which changes nothing but that graphql-core must decide."""

    def leave_field(self, node: FieldNode, *_: Any) -> FieldNode:
        return replace(node, directives=(*(node.directives or ()), _INCLUDE))


def uncompiled(text: str) -> str:
    """The same document, in a form for which no function is compiled."""
    return print_ast(visit(parse(text), _Conditional()))


def compiled(schema: Schema, text: str) -> list[bool]:
    """For each root field, whether a function is compiled for all that is asked for below it."""
    (operation,) = schema.documents.read(text).operations
    walk = Walk(schema._schema, operation.fragments)
    root = schema._schema.get_root_type(operation.type)
    return [
        operation.compiled.function(field.definition.type, [field.node]) is not None
        for field in walk.fields([(root, operation.node.selection_set)])
        if field.definition is not None
    ]


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
    return json.dumps(answer)


async def test_both_ways_give_the_same_answers(service: Service) -> None:
    schema = build_schema()
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

    for name, text in DOCUMENTS.items():
        variables = {key: value for key, value in given.items() if f"${key}" in text}

        assert all(compiled(schema, text)), name
        assert not any(compiled(schema, uncompiled(text))), name
        with_functions = await asked(service, text, **variables)
        assert with_functions == await asked(service, uncompiled(text), **variables), name
