"""Bounds on what one request may ask for: shape, cost and time, each refused before it hurts."""

import itertools
import json
import tracemalloc
from typing import Any

import pytest
from graphql import (
    GraphQLObjectType,
    get_introspection_query,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_introspection_type,
    is_list_type,
    parse,
)

from app.graphql.http import MAX_BODY_BYTES
from schema.build import build_schema
from schema.engine.checks.cost import ListSizeDirective
from schema.engine.checks.limits import LIMITS, check_shape, check_text
from schema.engine.documents import CACHE_CHARACTERS, MAX_ERRORS, Documents
from schema.errors import LimitError
from schema.types.costs import COUNTING
from tests.support.answers import codes
from tests.support.builders import created, organization, organization_updated, role
from tests.support.service import Service


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here is a matter of the database."""
    return sqlite_url


def bomb(levels: int) -> str:
    """Fragments that stand for 2 ** levels fields."""
    fragments = (f"fragment f{n} on Member {{ ...f{n + 1} ...f{n + 1} }}" for n in range(levels))
    last = f"fragment f{levels} on Member {{ id }}"
    return "\n".join(["{ viewer { member { ...f0 } } }", *fragments, last])


def nested(depth: int) -> str:
    return "{ organization(by: {id: 1}) " + "{ parent " * depth + "{ id }" + " }" * depth + " }"


AT_THE_LIMIT = {
    "document.characters": "{ viewer { accessLevel } }".ljust(LIMITS.characters, " "),
    "document.tokens": "{ roles { code } } # of many" + " #\n" * (LIMITS.tokens - 8),
    "document.operations": " ".join(
        f"query q{n} {{ viewer {{ accessLevel }} }}" for n in range(LIMITS.operations)
    ),
    "operation.depth": nested(LIMITS.depth - 2),
    "operation.fields": "{ roles { " + "code " * (LIMITS.fields - 1) + "} }",
    "operation.root_fields": "{ " + "roles { code } " * LIMITS.root_fields + "}",
    "operation.aliases": "{ roles { "
    + " ".join(f"a{n}: code" for n in range(LIMITS.aliases))
    + " } }",
    "operation.directives": "{ roles { " + "code @skip(if: true) " * LIMITS.directives + "} }",
}
BEYOND = {
    "document.characters": AT_THE_LIMIT["document.characters"] + " ",
    "document.tokens": "{ roles { " + "code " * LIMITS.tokens + "} }",
    "document.operations": AT_THE_LIMIT["document.operations"] + " query more { __typename }",
    "operation.depth": nested(LIMITS.depth - 1),
    "operation.fields": "{ roles { " + "code " * LIMITS.fields + "} }",
    "operation.root_fields": "{ " + "roles { code } " * (LIMITS.root_fields + 1) + "}",
    "operation.aliases": AT_THE_LIMIT["operation.aliases"].replace("a0: code", "x: code a0: code"),
    "operation.directives": AT_THE_LIMIT["operation.directives"].replace(
        "code @skip", "code @skip(if: true) code @skip", 1
    ),
}


@pytest.mark.parametrize("limit", BEYOND)
async def test_document_beyond_a_limit_is_refused_and_told_which(
    service: Service, limit: str
) -> None:
    allowed = await service.ask(AT_THE_LIMIT[limit], operation="q0")
    refused = await service.ask(BEYOND[limit])

    assert "COST_LIMIT" not in codes(allowed), allowed
    assert codes(refused) == ["COST_LIMIT"]
    assert refused["errors"][0]["extensions"]["limit"] == limit
    assert "data" not in refused


@pytest.mark.parametrize(
    "spread", ["... on Query {{ {fields} }}", "...f }} fragment f on Query {{ {fields}"]
)
async def test_root_fields_are_counted_within_fragments_as_well(
    service: Service, spread: str
) -> None:
    fields = "roles { code } "
    several = "{{ {fields} {spread} }}"

    allowed, refused = [
        await service.ask(
            several.format(fields=fields, spread=spread.format(fields=fields * (number - 1)))
        )
        for number in (LIMITS.root_fields, LIMITS.root_fields + 1)
    ]

    assert "errors" not in allowed, allowed
    assert codes(refused) == ["COST_LIMIT"]
    assert refused["errors"][0]["extensions"]["limit"] == "operation.root_fields"


@pytest.mark.parametrize("piece", ["a ", '"" ', "#\n", "1 ", "... ", "{", "$", '"""', "é"])
def test_text_is_measured_before_it_is_parsed(piece: str) -> None:
    text = "{" + piece * (LIMITS.tokens + 10)

    with pytest.raises(LimitError, match=r"tokens|characters"):
        check_text(text.ljust(LIMITS.characters + 1), LIMITS)


def test_tokens_are_counted_as_the_parser_counts_them() -> None:
    text = '{ a(b: "\\"x\\"", c: """ "" \\""" """, d: [1, $e, ENUM]) @f ...g # "comment"\n }'

    for allowed, fits in ((23, False), (24, True)):
        limits = type(LIMITS)(tokens=allowed)
        if fits:
            check_text(text, limits)
        else:
            with pytest.raises(LimitError):
                check_text(text, limits)


async def test_bomb_of_fragments_is_refused(service: Service) -> None:
    answer = await service.ask(bomb(60))

    assert codes(answer) == ["COST_LIMIT"]
    assert answer["errors"][0]["extensions"]["limit"] == "operation.fields"


def test_work_of_counting_grows_with_the_document_and_not_with_what_it_stands_for() -> None:
    unlimited = type(LIMITS)(tokens=10**6, depth=10**6, fields=10**100)

    visited = [check_shape(parse(bomb(levels)), unlimited) for levels in (10, 20, 40, 80)]

    growth = [larger - smaller for smaller, larger in itertools.pairwise(visited)]
    assert growth == [20, 40, 80]


def test_chain_of_fragments_that_bites_its_tail_is_refused_all_the_same() -> None:
    documents = Documents(build_schema()._schema)
    cycle = (
        "{ viewer { member { ...a } } } fragment a on Member { ...b } fragment b on Member { ...a }"
    )

    (error,) = documents.read(cycle).errors

    assert "Cannot spread fragment" in error.message


def test_document_is_parsed_and_validated_once_however_often_it_is_sent() -> None:
    documents = Documents(build_schema()._schema)
    for text in ("{ viewer { accessLevel } }", "{ nothing }", "{", bomb(50)):
        first = documents.read(text)

        assert documents.read(text) is first
    assert (documents.hits, documents.misses) == (4, 4)


async def test_service_parses_a_document_once(service: Service) -> None:
    async def misses() -> list[str]:
        page = await service.http.get(f"{service.url}/metrics")
        lines = page.text.splitlines()
        return [line for line in lines if line.startswith("likeperson_documents_total")]

    await service.data("{ viewer { accessLevel } }")
    before = await misses()
    for _ in range(3):
        await service.data("{ viewer { accessLevel } }")

    found = dict(line.rsplit(" ", 1) for line in await misses())
    known = dict(line.rsplit(" ", 1) for line in before)
    grown = {name: float(count) - float(known[name]) for name, count in found.items()}
    assert grown == {
        'likeperson_documents_total{found="kept"}': 3.0,
        'likeperson_documents_total{found="new"}': 0.0,
    }


def test_documents_kept_are_bounded() -> None:
    documents = Documents(build_schema()._schema, characters=1000)
    for n in range(100):
        documents.read(f"{{ viewer {{ a{n}: accessLevel }} }}")

    documents.read("{ viewer { a99: accessLevel } }")
    documents.read("{ viewer { a0: accessLevel } }")

    assert (documents.hits, documents.misses) == (1, 101)


def test_documents_kept_take_a_bounded_amount_of_memory() -> None:
    """However dense they are: anybody can send them."""
    dense = [f"{{ a{n}: nodes(ids: [{'1 ' * 900}]) {{ id }} }}" for n in range(9)]
    documents = Documents(build_schema()._schema)
    documents.read(dense[0])

    tracemalloc.start()
    try:
        for text in dense[1:]:
            documents.read(text)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    characters = sum(len(text) for text in dense[1:])
    assert used / characters * CACHE_CHARACTERS < 256 * 2**20


def test_errors_of_one_document_are_not_told_without_end() -> None:
    documents = Documents(build_schema()._schema)

    errors = documents.read("{ " + " ".join(f"nothing{n}" for n in range(19)) + " }").errors

    assert len(errors) == MAX_ERRORS + 1


async def test_query_that_tools_ask_of_every_schema_is_within_the_limits(service: Service) -> None:
    whole = get_introspection_query(
        specified_by_url=True, directive_is_repeatable=True, input_value_deprecation=True
    )

    data = await service.data(whole)

    assert data["__schema"]["queryType"]["name"] == "Query"


async def cost(service: Service, query: str, **variables: Any) -> int:
    response = await service.http.post(
        f"{service.url}/graphql",
        json={"query": query, "variables": variables},
        headers={"Authorization": f"Bearer {service.token()}"},
    )
    requested: int = response.json()["extensions"]["cost"]["requested"]
    return requested


async def test_answer_says_what_it_cost(service: Service) -> None:
    page = "query ($n: Int) { members(first: $n) { edges { node { id } } } }"

    assert await cost(service, "{ viewer { accessLevel } }") == 1
    assert await cost(service, "{ members { totalCount } }") == 1 + COUNTING
    # Each of these counts the log again, under whatever name it is asked for.
    days = "{ syncHealth { a: lastDay { received } b: lastDay { received } lagP95Ms } }"
    assert await cost(service, days) == COUNTING + 3 * COUNTING
    # An edge and a node each; 25 when nothing is said.
    assert await cost(service, page) == 1 + 2 * 25
    assert await cost(service, page, n=3) == 1 + 2 * 3
    assert await cost(service, "{ members(first: 7) { edges { node { id } } } }") == 15
    assert await cost(service, "{ members(last: 4) { edges { node { id } } } }") == 9
    assert (
        await cost(service, "query ($n: Int = 4) { members(first: $n) { edges { cursor } } }") == 5
    )
    roles = "{ members(first: 2) { edges { node { roles { role { code } } } } } }"
    assert await cost(service, roles) == 1 + 2 * (1 + 1 + 3 * 2)
    spread = """{ members(first: 2) { ...page } }
        fragment page on MemberConnection { edges { ... { node { ...x } } ...y } }
        fragment x on Member { organization { name } } fragment y on MemberEdge { node { id } }"""
    assert await cost(service, spread) == 1 + 2 * (1 + 1 + 1 + 1)
    assert await cost(service, "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=[]) == 0
    twice = """{ a: members(first: 1) { ...page } b: members(first: 50) { ...page } }
        fragment page on MemberConnection { edges { cursor } }"""
    assert await cost(service, twice) == 1 + 1 + 1 + 50
    of_a_type = """query ($id: ID!) { node(id: $id) { ... on Organization {
        members(first: 50) { edges { cursor } } } } }"""
    own = (await service.data("{ roles { id } }"))["roles"][0]["id"]
    assert await cost(service, of_a_type, id=own) == 1 + 1 + 50


SCREENS = {
    "members with what they hold": "{ members(first: 100) { edges { node { displayName "
    "organization { name } roles { role { code } organization { id } } } } } }",
    "three levels of chapters": "{ viewer { member { organization { name children(first: 100) { "
    "edges { node { name children(first: 100) { edges { node { name children(first: 100) { "
    "edges { node { id name } } } } } } } } } } } } }",
    "organizations with counts": "{ organizations(first: 100) { totalCount edges { node { name "
    "members { totalCount } } } } }",
    "objects by id": "{ nodes(ids: [" + '"T3JnYW5pemF0aW9uOjE" ' * 100 + "]) { id ... on Member { "
    "displayName roles { role { name } organization { name } } } } }",
}


@pytest.mark.parametrize("screen", SCREENS.values(), ids=SCREENS)
async def test_ordinary_screen_is_within_everybodys_budget(service: Service, screen: str) -> None:
    await service.tell(
        created("Kari", roles=[role("peer-mentor")]), created("Olav", roles=[role("coordinator")])
    )

    for member in ("Kari", "Olav", None):
        assert codes(await service.ask(screen, member=member)) == []


async def test_operation_that_asks_for_too_much_is_refused_before_it_is_executed(
    service: Service,
) -> None:
    refused = await service.ask(
        """{ organizations(first: 100) { edges { node { members(first: 100) {
        edges { cursor } } } } } }"""
    )

    assert codes(refused) == ["COST_LIMIT"]
    assert refused["errors"][0]["extensions"]["limit"] == "operation.cost"
    assert "data" not in refused


async def test_chapters_that_lead_to_each_other_are_counted_as_they_are(service: Service) -> None:
    root = organization("HLF")
    below = [organization(f"HLF {number}", "HLF") for number in range(80)]
    await service.tell(
        organization_updated("HLF", name="HLF", parentId=None),
        *(
            organization_updated(chapter["name"], name=chapter["name"], parentId=root["id"])
            for chapter in below
        ),
    )
    query = """{ organizations(first: 1) { edges { node {
        children(first: 100) { edges { node { parent { ...below } } } } } } } }
        fragment below on Organization { children(first: 100) { edges { node { id } } } }"""

    refused = await service.ask(query)

    assert codes(refused) == ["COST_LIMIT"]
    assert refused["errors"][0]["extensions"]["limit"] == "operation.items"
    assert refused["data"] is None


async def test_budget_may_be_spent_to_the_last_point(service: Service) -> None:
    spent = """organizations(first: 98) { edges { node {
          members(first: 48) { edges { cursor } } } } }
        viewer { accessLevel }"""

    allowed = await service.ask(f"{{ {spent} }}")
    refused = await service.ask(f"{{ {spent} more: viewer {{ accessLevel }} }}")

    assert codes(allowed) == []
    assert codes(refused) == ["COST_LIMIT"]
    assert "Operation has a cost of 5001; the limit is 5000." in refused["errors"][0]["message"]


@pytest.mark.parametrize("size", ["-1000000", "$size"])
async def test_page_that_cannot_be_asked_for_pays_for_no_other(service: Service, size: str) -> None:
    answer = await service.ask(
        f"""query ($size: Int = 0) {{ nothing: members(first: {size}) {{ edges {{ cursor }} }}
        size: members(first: $size) {{ totalCount }}
        dear: organizations(first: 100) {{ edges {{ node {{ members(first: 100) {{
          edges {{ cursor }} }} }} }} }} }}""",
        size=-1_000_000,
    )

    assert codes(answer) == ["COST_LIMIT"]


async def test_page_size_beyond_the_bounds_is_told_by_its_argument_and_not_by_its_cost(
    service: Service,
) -> None:
    answer = await service.ask("{ members(first: 2000000000) { edges { node { id } } } }")

    assert codes(answer) == ["BAD_USER_INPUT"]


async def test_body_that_is_too_large_is_refused_whether_announced_or_not(service: Service) -> None:
    text = "{ viewer { accessLevel } }"
    variables = {"v": "x" * MAX_BODY_BYTES}
    body = json.dumps({"query": text, "variables": variables}).encode()

    async def unannounced() -> Any:
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    for content in (body, unannounced()):
        response = await service.http.post(
            f"{service.url}/graphql",
            content=content,
            headers={"content-type": "application/json"},
        )

        assert response.status_code == 413
        assert codes(response.json()) == ["COST_LIMIT"]
        assert response.json()["errors"][0]["extensions"]["limit"] == "request.bytes"
        assert response.json()["errors"][0]["extensions"]["allowed"] == MAX_BODY_BYTES


def overlapping(*selections: str) -> list[str]:
    text = "query ($a: Int, $b: Int) {" + " ".join(selections) + "}"
    found = Documents(build_schema()._schema).read(text).errors
    return [error.message for error in found if "conflict" in error.message]


def test_fields_of_one_name_must_be_the_same_wherever_they_meet() -> None:
    conflict = overlapping("members(first: $a) { totalCount } members(first: $b) { totalCount }")
    deep = overlapping("viewer { member { x: id } } ... { viewer { member { x: email } } }")
    shapes = overlapping(
        "node(id: 1) { ... on Member { x: id } ... on Role { x: accessLevel } }"
        "a: viewer { accessLevel } b: viewer { accessLevel }"
    )
    apart = overlapping("node(id: 1) { ... on Member { x: portalId } ... on Role { x: code } }")
    below = overlapping(
        "node(id: 1) { ... on Member { organization { x: id } }"
        " ... on SyncLogEntry { organization { x: name } } }"
    )

    assert conflict == [
        "Fields 'members' conflict because they have differing arguments. Use different aliases "
        "on the fields to fetch both if this was intentional."
    ]
    assert len(deep) == len(shapes) == len(below) == 1
    assert apart == []


@pytest.mark.parametrize(
    "selections",
    [
        pytest.param(
            "... on Member { x: organization { __typename } } "
            "... on Organization { x: members { __typename } }",
            id="null",
        ),
        pytest.param(
            "... on Member { x: roles { since } } "
            "... on Organization { x: members { totalCount } }",
            id="list",
        ),
        pytest.param(
            "... on Member { x: portalId } ... on Organization { x: members { totalCount } }",
            id="leaf",
        ),
        pytest.param(
            "... on Organization { members { totalCount } members(first: 1) { totalCount } }",
            id="argument in one of them",
        ),
        pytest.param(
            "... on Member { x: portalId } ... on Role { x: code x: name }", id="in a later type"
        ),
        pytest.param(
            "x: __typename ... on Member { x: portalId } ... on Role { x: code }",
            id="of the interface",
        ),
    ],
)
def test_fields_conflict_that_one_answer_could_not_hold(selections: str) -> None:
    assert len(overlapping(f"node(id: 1) {{ {selections} }}")) == 1


def test_every_list_of_objects_says_how_many_there_may_be() -> None:
    types = [
        type
        for type in build_schema()._schema.type_map.values()
        if isinstance(type, GraphQLObjectType) and not is_introspection_type(type)
    ]
    # The edges of a connection, for one, are counted by the field that has the connection.
    sized_above = {
        (get_named_type(field.type).name, name)
        for type in types
        for field in type.fields.values()
        for directive in field.extensions["strawberry-definition"].directives
        if isinstance(directive, ListSizeDirective)
        for name in directive.sized_fields or ()
    }

    unsized = [
        f"{type.name}.{name}"
        for type in types
        for name, field in type.fields.items()
        if is_list_type(get_nullable_type(field.type)) and (type.name, name) not in sized_above
        if is_composite_type(get_named_type(field.type))
        if not any(
            isinstance(directive, ListSizeDirective)
            for directive in field.extensions["strawberry-definition"].directives
        )
    ]

    assert unsized == []
