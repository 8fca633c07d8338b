"""What a query costs the database does not grow with the length of its lists."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.builders import created, organization, role
from tests.support.service import Service
from tests.support.statements import of_requests, recorded

# A page of few organizations already holds all counties and some of the chapters below them.
COUNTIES, FEW, MANY = 6, 8, 24

MEMBERS = """query ($first: Int) { members(first: $first) { totalCount changeCursor edges { node {
    displayName accessLevel organization { name }
    roles { role { code } organization { name } since } } } } }"""
LOG = """query ($first: Int) { syncLog(first: $first) { totalCount edges { node {
    eventId organization { name } changes { field }
    member { displayName accessLevel organization { name }
      roles { role { code } organization { name } } } } } } }"""
ORGANIZATIONS = """query ($first: Int) { organizations(first: $first) { edges { node { name
    parent { name parent { name } ...below }
    children { edges { node { name parent { name } ...below } } } } } } }
    fragment below on Organization { children { edges { node { name } } } }"""
LOGS_OF_MEMBERS = """query ($first: Int) { members(first: $first) { edges { node { displayName
    syncLog(first: 2) { totalCount changeCursor edges { node { eventType organization { name } } }
      pageInfo { hasNextPage } } } } } }"""
FRAGMENTS = """query ($first: Int) { members(first: $first) { ...page } }
    fragment page on MemberConnection { edges { ... on MemberEdge { node { ...person } } } }
    fragment person on Member { access: accessLevel ... { home: organization { ...place } }
      held: roles { where: organization { ...place } } }
    fragment place on Organization { name }"""


@asynccontextmanager
async def populated(service: Service) -> AsyncIterator[Service]:
    """Many members, each in a chapter of their own with two roles, in several counties."""
    await asyncio.gather(
        *(
            service.tell(
                created(
                    f"M{n:02}",
                    organization=organization(f"Chapter {n:02}", f"A county {n % COUNTIES}"),
                    roles=[role("member"), role("coordinator", f"A county {n % COUNTIES}")],
                )
            )
            for n in range(MANY)
        )
    )
    yield service


async def cost(service: Service, query: str, **variables: Any) -> list[str]:
    """The statements of the query. The change feed polls meanwhile, now and then, in tasks of other
    names as well: so the fewest of several times."""
    runs = []
    for _ in range(4):
        with recorded() as statements:
            await service.data(query, **variables)
        runs.append(of_requests(statements))
    return min(runs, key=len)


@pytest.mark.parametrize(
    "query",
    [MEMBERS, LOG, FRAGMENTS, LOGS_OF_MEMBERS],
    ids=["members", "sync log", "members by fragments", "sync logs of members"],
)
async def test_number_of_statements_does_not_depend_on_the_length_of_the_page(
    service: Service, query: str
) -> None:
    async with populated(service):
        few = await cost(service, query, first=FEW)
        many = await cost(service, query, first=MANY)

    assert len(many) == len(few) > 0, "\n\n".join(many)
    assert len(many) <= 10


async def test_nested_organizations_are_loaded_level_by_level(service: Service) -> None:
    """The page; parents and children; and theirs, which may come in two batches each."""
    async with populated(service):
        few = await cost(service, ORGANIZATIONS, first=FEW)
        many = await cost(service, ORGANIZATIONS, first=2 * FEW)

    for statements in (few, many):
        assert 5 <= len(statements) <= 7, "\n\n".join(statements)


async def test_nothing_is_loaded_that_was_not_asked_for(service: Service) -> None:
    async with populated(service):
        bare = await cost(service, "{ members { edges { node { displayName } } } }")
        levels = await cost(service, "{ members { edges { node { accessLevel } } } }")
        counted = await cost(service, "{ members { totalCount } }")
        log = await cost(service, "{ syncLog { edges { node { eventId } } } }")

    assert [len(statements) for statements in (bare, levels, counted, log)] == [1, 2, 2, 1]
    assert not any("count(" in statement for statement in (*bare, *levels, *log))


async def test_list_of_ids_costs_the_same_however_long(service: Service) -> None:
    async with populated(service):
        data = await service.data("{ members { edges { node { id } } } }")
        ids = [edge["node"]["id"] for edge in data["members"]["edges"]]
        query = """query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on Member {
            accessLevel organization { name } roles { organization { name } } } } }"""

        one = await cost(service, query, ids=ids[:1])
        all_of_them = await cost(service, query, ids=ids)

    assert len(ids) == MANY
    assert len(all_of_them) == len(one)


async def test_viewer_is_looked_up_once_for_all_the_fields_of_a_query(service: Service) -> None:
    member = "M00"
    async with populated(service):
        one = await cost(service, "{ a: roles { code } }", member=member)
        three = await cost(
            service, "{ a: roles { code } b: roles { code } c: roles { code } }", member=member
        )

    assert len(three) - len(one) == 2
