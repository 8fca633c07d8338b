"""What `/metrics` tells of requests, operations and the state of the services."""

import re

import pytest

from app.metrics import MOST_OPERATIONS
from tests.support.builders import created
from tests.support.service import Service


async def samples(service: Service) -> dict[str, float]:
    page = (await service.http.get(f"{service.url}/metrics")).text
    found = re.findall(r"^([^#\s]\S*(?:\{.*\})?) (\S+)$", page, re.MULTILINE)
    return {name: float(value) for name, value in found}


@pytest.mark.parametrize(
    ("method", "path", "route", "code"),
    [
        ("GET", "/healthz", "/healthz", 200),
        ("POST", "/webhooks/unknown", "/webhooks/{source}", 404),
        ("GET", "/medlemmer", "/{page:console}", 200),
        ("GET", "/nowhere/at/all", "/{page:console}", 404),
        ("POST", "/graphql", "/graphql", 400),
        ("DELETE", "/healthz", "/healthz", 405),
    ],
)
async def test_requests_are_counted_by_route_and_not_by_what_clients_make_up(
    service: Service, method: str, path: str, route: str, code: int
) -> None:
    response = await service.http.request(
        method, service.url + path, headers={"content-type": "application/json"}
    )

    assert response.status_code == code
    known = method if method != "DELETE" else "other"
    labels = f'{{code="{code}",method="{known}",route="{route}"}}'
    assert (await samples(service))[f"likeperson_http_request_seconds_count{labels}"] == 1


async def test_streams_are_not_counted_as_slow_requests(service: Service) -> None:
    request = service.http.build_request(
        "POST",
        f"{service.url}/graphql",
        json={"query": "subscription { memberChanges { __typename } }"},
        headers={
            "Authorization": f"Bearer {service.token()}",
            "Accept": "text/event-stream",
        },
    )
    response = await service.http.send(request, stream=True)
    assert "Heartbeat" in await anext(aiter(response.aiter_text()))
    await response.aclose()

    assert not any('route="/graphql"' in name for name in await samples(service))


async def test_operations_are_counted_by_name_as_far_as_there_is_room(service: Service) -> None:
    await service.data("query One { viewer { accessLevel } }")
    await service.ask('query Two { member(by: {id: "x"}) { id } }')
    await service.data("{ viewer { accessLevel } }")
    for number in range(MOST_OPERATIONS):
        await service.data(f"query Number{number} {{ viewer {{ accessLevel }} }}")

    found = await samples(service)

    def counted(operation: str, result: str) -> float:
        labels = f'{{operation="{operation}",result="{result}",type="query"}}'
        return found[f"likeperson_graphql_seconds_count{labels}"]

    assert counted("One", "data") == 1
    assert counted("Two", "errors") == 1
    assert counted("unnamed", "data") == 1
    assert counted("others", "data") == 3


async def test_operations_over_a_socket_are_counted_too(service: Service) -> None:
    async with service.subscribe("query Socketed { viewer { accessLevel } }") as stream:
        await anext(stream)

    labels = '{operation="Socketed",result="data",type="query"}'
    assert (await samples(service))[f"likeperson_graphql_seconds_count{labels}"] == 1


async def test_concerns_are_told_by_kind_source_and_state(service: Service) -> None:
    await service.deliver({"type": "role-updated", "timestamp": "?"})
    await service.data("{ syncHealth { healthy } }")

    found = await samples(service)

    labels = '{kind="REJECTIONS",source="portal",state="OPEN"}'
    assert found[f"likeperson_concern{labels}"] == 1


async def test_state_of_the_services_is_told(service: Service) -> None:
    await service.tell(created("Kari"))

    found = await samples(service)

    assert found["likeperson_feed_alive"] == 1
    assert found["likeperson_commits_failing"] == 0
    assert found["likeperson_intake_waiting"] == 0
    in_use = found['likeperson_connections_in_use{pool="read"}']
    assert 0 <= in_use <= found['likeperson_connections_limit{pool="read"}']
    assert found["process_resident_memory_bytes"] > 0
    (build,) = [name for name in found if name.startswith("likeperson_build_info{")]
    assert 'version="' in build
