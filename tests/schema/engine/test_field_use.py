"""The use of every field, counted by what clients call themselves."""

import re

import pytest

from schema.engine.field_use import MOST_CLIENTS, MOST_VERSIONS, OTHERS
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


async def counts(service: Service, metric: str) -> dict[tuple[str, str], float]:
    """The values of a metric by its two labels."""
    page = await service.http.get(f"{service.url}/metrics")
    pattern = metric + r'_total\{\w+="(.*)",\w+="(.*)"\} (.*)'
    return {(one, other): float(count) for one, other, count in re.findall(pattern, page.text)}


async def test_fields_are_counted_for_each_client(service: Service) -> None:
    query = """{ members { ...page } } fragment page on MemberConnection {
        totalCount edges { node { ... on Node { id } organization { name } __typename } } }"""

    await ask(service, query, graphql_client_name="app", graphql_client_version="1.2")
    await ask(service, query, apollographql_client_name="app", apollographql_client_version="1.3")
    await ask(service, "{ viewer { accessLevel } }")
    await ask(service, "{ __schema { queryType { name } } }")

    assert await counts(service, "likeperson_field_uses") == {
        **dict.fromkeys(
            [
                ("app", "Query.members"),
                ("app", "MemberConnection.totalCount"),
                ("app", "MemberConnection.edges"),
                ("app", "MemberEdge.node"),
                ("app", "Node.id"),
                ("app", "Member.organization"),
                ("app", "Organization.name"),
            ],
            2.0,
        ),
        ("", "Query.viewer"): 1.0,
        ("", "Viewer.accessLevel"): 1.0,
    }
    assert await counts(service, "likeperson_client_operations") == {
        ("app", "1.2"): 1.0,
        ("app", "1.3"): 1.0,
        ("", ""): 2.0,
    }


async def test_clients_that_come_later_are_counted_and_those_of_long_ago_together(
    service: Service,
) -> None:
    names = [f"client {number}" for number in range(MOST_CLIENTS + 5)]
    for name in names:
        await ask(service, "{ viewer { accessLevel } }", graphql_client_name=name)

    found = await counts(service, "likeperson_field_uses")
    versions = await counts(service, "likeperson_client_operations")

    asked = {client: count for (client, field), count in found.items() if field == "Query.viewer"}
    assert asked == {**dict.fromkeys(names[5:], 1.0), OTHERS: 5.0}
    assert [client for client, _ in versions] == names[-MOST_VERSIONS:]
