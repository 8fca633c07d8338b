"""The use of every field, counted by what clients call themselves."""

import re
from collections import defaultdict

import pytest

from schema.engine.field_use import MOST_CLIENTS
from tests.support.service import Service


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here is a matter of the database."""
    return sqlite_url


async def ask(service: Service, query: str, **headers: str) -> None:
    response = await service.http.post(
        f"{service.url}/graphql",
        json={"query": query},
        headers={
            "Authorization": f"Bearer {service.token()}",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
    )
    assert response.status_code == 200


async def uses(service: Service) -> dict[tuple[str, str], dict[str, float]]:
    page = await service.http.get(f"{service.url}/metrics")
    found: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    pattern = r'likeperson_field_uses_total\{client="(.*)",field="(.*)",version="(.*)"\} (.*)'
    for client, field, version, count in re.findall(pattern, page.text):
        found[client, version][field] = float(count)
    return found


async def test_fields_are_counted_for_each_client_and_version(service: Service) -> None:
    query = """{ members { ...page } } fragment page on MemberConnection {
        totalCount edges { node { ... on Node { id } organization { name } __typename } } }"""

    await ask(service, query, graphql_client_name="app", graphql_client_version="1.2")
    await ask(service, query, apollographql_client_name="app", apollographql_client_version="1.2")
    await ask(service, "{ viewer { accessLevel } }")
    await ask(service, "{ __schema { queryType { name } } }")

    found = await uses(service)
    assert found["app", "1.2"] == dict.fromkeys(
        (
            "Query.members",
            "MemberConnection.totalCount",
            "MemberConnection.edges",
            "MemberEdge.node",
            "Node.id",
            "Member.organization",
            "Organization.name",
        ),
        2.0,
    )
    assert found["", ""] == {"Query.viewer": 1.0, "Viewer.accessLevel": 1.0}


async def test_clients_cannot_make_the_metrics_grow_without_end(service: Service) -> None:
    for number in range(MOST_CLIENTS + 5):
        await ask(service, "{ viewer { accessLevel } }", graphql_client_name=f"client {number}")

    found = await uses(service)

    assert len(found) == MOST_CLIENTS + 1
    assert found["others", ""]["Query.viewer"] == 5.0
