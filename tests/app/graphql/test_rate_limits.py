"""How often one may ask, and who may ask about the schema itself."""

from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from app.auth.own_tokens import mint
from tests.support.answers import codes
from tests.support.builders import created, guid, role
from tests.support.guarded import guarded_service
from tests.support.service import Service
from tests.support.sockets import opened

VIEWER = "{ viewer { accessLevel } }"
SLOWLY = {"requests_per_minute": 15, "trusted_proxies": ("127.0.0.1",)}
"""Three at once, then one every four seconds. Tests choose their address."""


def operator(service: Service, name: str) -> str:
    return mint(service.settings, name, operator=True, lifetime=timedelta(hours=1))


async def ask(service: Service, token: str | None, address: str = "192.0.2.1") -> httpx.Response:
    headers = {"X-Forwarded-For": address}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    url = f"{service.url}/graphql"
    return await service.http.post(url, json={"query": VIEWER}, headers=headers)


def check_too_many(response: httpx.Response) -> None:
    assert response.status_code == 429
    assert codes(response.json()) == ["RATE_LIMITED"]
    assert "data" not in response.json()
    assert 0 < int(response.headers["retry-after"]) <= 60
    assert response.headers["ratelimit-policy"].startswith('"default";q=')
    assert response.headers["ratelimit"].startswith('"default";r=0;t=')


async def test_credential_that_asks_too_often_waits_and_nobody_else_does(sqlite_url: str) -> None:
    async with guarded_service(sqlite_url, **SLOWLY) as service:
        one, other = operator(service, "one"), operator(service, "other")
        for address in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
            assert (await ask(service, one, address)).status_code == 200

        check_too_many(await ask(service, one, "192.0.2.4"))
        assert (await ask(service, other, "192.0.2.1")).status_code == 200


async def test_without_a_credential_the_address_counts(sqlite_url: str) -> None:
    async with guarded_service(sqlite_url, **SLOWLY) as service:
        for _ in range(3):
            assert (await ask(service, None)).status_code == 200

        check_too_many(await ask(service, None))
        assert (await ask(service, None, "192.0.2.2")).status_code == 200
        assert (await ask(service, operator(service, "one"))).status_code == 200


async def test_address_that_brings_bad_tokens_waits_and_good_ones_pass(sqlite_url: str) -> None:
    given: dict[str, Any] = {"failures_per_minute": 2, "trusted_proxies": ("127.0.0.1",)}
    async with guarded_service(sqlite_url, **given) as service:
        refused = [await ask(service, "a.bad.token") for _ in range(2)]
        assert [response.status_code for response in refused] == [401, 401]

        check_too_many(await ask(service, "a.bad.token"))
        assert (await ask(service, "a.bad.token", "192.0.2.2")).status_code == 401
        assert (await ask(service, operator(service, "one"))).status_code == 200
        assert (await ask(service, None)).status_code == 200


async def test_refusal_has_the_media_type_that_was_asked_for(sqlite_url: str) -> None:
    given: dict[str, Any] = {"failures_per_minute": 1}
    async with guarded_service(sqlite_url, **given) as service:
        for accept, media_type in (
            ("application/graphql-response+json", "application/graphql-response+json"),
            ("application/json", "application/json"),
            ("text/event-stream", "application/json"),
        ):
            response = await service.http.post(
                f"{service.url}/graphql",
                json={"query": VIEWER},
                headers={"Authorization": "Bearer a.bad.token", "Accept": accept},
            )

            assert response.status_code in (401, 429)
            assert response.headers["content-type"].split(";")[0] == media_type


async def test_socket_counts_like_requests(sqlite_url: str) -> None:
    async with guarded_service(sqlite_url, **SLOWLY) as service:
        token = operator(service, "one")
        async with opened(service.url, token) as socket:
            assert (await socket.next())["type"] == "connection_ack"
            answers = []
            for number in range(3):
                await socket.subscribe(str(number), VIEWER)
                answer = await socket.next()
                answers.append(answer["type"])
                if answer["type"] == "next":
                    assert (await socket.next())["type"] == "complete"

            # The connection itself was one of three.
            assert answers == ["next", "next", "error"]
            assert answer["payload"][0]["extensions"]["code"] == "RATE_LIMITED"
        async with opened(service.url, token) as again:
            # The client is to come back, so it is not told that it is forbidden.
            assert await again.closed() == 1013


async def test_in_development_nobody_waits(sqlite_url: str) -> None:
    async with guarded_service(sqlite_url, guarded=None, **SLOWLY) as service:
        for _ in range(10):
            assert (await ask(service, None)).status_code == 200
            assert (await ask(service, "a.bad.token")).status_code == 401


QUESTIONS = [
    "{ __schema { queryType { name } } }",
    '{ __type(name: "Member") { name } }',
    "{ viewer { accessLevel } ... on Query { __schema { queryType { name } } } }",
    "{ ...F } fragment F on Query { ...G } fragment G on Query { s: __schema { description } }",
]
WHO = {
    "anonymous": "UNAUTHENTICATED",
    "Kari": "FORBIDDEN",
    "coordinator": "FORBIDDEN",
    "admin": None,
    "operator": None,
}


async def answer_to(service: Service, who: str, query: str) -> dict[str, Any]:
    headers = {}
    if who != "anonymous":
        token = service.token(None if who == "operator" else who)
        headers["Authorization"] = f"Bearer {token}"
    response = await service.http.post(
        f"{service.url}/graphql", json={"query": query}, headers=headers
    )
    found: dict[str, Any] = response.json()
    return found


async def found_people(service: Service) -> None:
    await service.tell(
        created("Kari"),
        created("coordinator", roles=[role("coordinator")]),
        created("admin", roles=[role("organization-administrator")]),
    )
    assert guid("Kari")


@pytest.mark.parametrize("guarded", [True, False])
async def test_schema_is_for_those_who_look_after_the_service(
    guarded: bool, sqlite_url: str
) -> None:
    async with guarded_service(sqlite_url, guarded=guarded) as service:
        await found_people(service)
        for who, refusal in WHO.items():
            for question in QUESTIONS:
                answer = await answer_to(service, who, question)

                expected = [refusal] if guarded and refusal else []
                assert codes(answer) == expected, (who, question)
                assert bool(answer.get("data")) is not bool(expected)
            name = await answer_to(service, who, "{ __typename }")
            assert name["data"] == {"__typename": "Query"}


async def test_errors_suggest_nothing_to_strangers(sqlite_url: str) -> None:
    hints = {}
    for guarded in (True, False):
        async with guarded_service(sqlite_url, guarded=guarded) as service:
            answer = await answer_to(service, "anonymous", "{ vieweer { accessLevel } }")
            hints[guarded] = answer["errors"][0]["message"]

    assert hints == {
        True: "Cannot query field 'vieweer' on type 'Query'.",
        False: "Cannot query field 'vieweer' on type 'Query'. Did you mean 'viewer'?",
    }


async def test_address_has_few_sockets_without_credentials(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.graphql.rate_limits.MAX_UNIDENTIFIED_PER_ADDRESS", 2)
    proxy = {"trusted_proxies": ("127.0.0.1",)}
    one, another = ({"X-Forwarded-For": address} for address in ("192.0.2.1", "192.0.2.2"))
    async with guarded_service(sqlite_url, **proxy) as service, AsyncExitStack() as stack:

        async def open_socket(token: str | None, headers: dict[str, str]) -> None:
            socket = await stack.enter_async_context(opened(service.url, token, **headers))
            assert (await socket.next())["type"] == "connection_ack"

        for _ in range(2):
            await open_socket(None, one)
            await open_socket(operator(service, "one"), another)
        with pytest.raises(InvalidStatus) as refused:
            await open_socket(operator(service, "one"), one)
        await open_socket(None, another)

    assert refused.value.response.status_code == 429
    assert refused.value.response.headers["retry-after"] == "5"


async def test_member_has_a_limited_number_of_sockets_and_streams(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.open_connections.MAX_PER_MEMBER", 2)
    await service.tell(created("Kari"), created("Ola"))
    headers = {"accept": "text/event-stream", "authorization": f"Bearer {service.token('Kari')}"}
    body = {"query": "subscription { viewerChanges { __typename } }"}
    stream = ("POST", f"{service.url}/graphql")

    async with (
        opened(service.url, service.token("Kari")) as first,
        service.http.stream(*stream, json=body, headers=headers) as second,
    ):
        assert (await first.next())["type"] == "connection_ack"
        lines = second.aiter_lines()
        assert await anext(lines)
        third = await service.http.post(stream[1], json=body, headers=headers)
        async with opened(service.url, service.token("Kari")) as fourth:
            fourth_closed = await fourth.closed()
        async with opened(service.url, service.token("Ola")) as other:
            assert (await other.next())["type"] == "connection_ack"
        await first.connection.close()
        async with opened(service.url, service.token("Kari")) as later:
            assert (await later.next())["type"] == "connection_ack"

    assert third.status_code == 429
    assert codes(third.json()) == ["RATE_LIMITED"]
    assert fourth_closed == 1013
