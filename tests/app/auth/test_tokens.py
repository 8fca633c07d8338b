"""Bearer tokens, on HTTP and on sockets: what is refused, and what is asked of the database."""

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from app.server import running
from app.settings import DEVELOPMENT_AUTH_SECRET, Settings
from tests.support.answers import codes
from tests.support.builders import created, deactivated, guid
from tests.support.service import DEADLINE, Service
from tests.support.statements import of_requests, recorded

LATER = datetime.now(UTC) + timedelta(days=365)
EARLIER = datetime.now(UTC) - timedelta(seconds=1)
OPERATOR = {"sub": "somebody", "scope": "sync:operate"}
VIEWER = "{ viewer { accessLevel } }"


def signed(
    claims: dict[str, Any], secret: str = DEVELOPMENT_AUTH_SECRET, algorithm: str = "HS256"
) -> str:
    return "Bearer " + jwt.encode(claims, secret, algorithm)


def unsigned(claims: dict[str, Any]) -> str:
    """Returns a token with `alg: none` and an empty signature."""
    parts = [{"alg": "none", "typ": "JWT"}, {**claims, "exp": int(LATER.timestamp())}]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    return f"Bearer {b'.'.join(encoded).decode()}."


GOOD = signed({**OPERATOR, "exp": LATER})
REFUSED = {
    "empty": "",
    "no scheme": GOOD.removeprefix("Bearer "),
    "another scheme": GOOD.replace("Bearer", "Basic"),
    "no token": "Bearer",
    "not a token": "Bearer x",
    "not quite a token": "Bearer a.b.c",
    "expired": signed({**OPERATOR, "exp": EARLIER}),
    "without exp": signed(OPERATOR),
    "exp is no number": signed({**OPERATOR, "exp": "tomorrow"}),
    "exp is beyond all years": signed({**OPERATOR, "exp": 10**30}),
    "exp is infinite": signed({**OPERATOR, "exp": float("inf")}),
    "not valid yet": signed({**OPERATOR, "exp": LATER, "nbf": LATER}),
    "unsigned": unsigned(OPERATOR),
    "another secret": signed({**OPERATOR, "exp": LATER}, "a secret that somebody else has chosen"),
    "another algorithm": signed(
        {**OPERATOR, "exp": LATER}, DEVELOPMENT_AUTH_SECRET * 2, algorithm="HS512"
    ),
    "tampered with": GOOD[:-3] + ("AAA" if GOOD[-3:] != "AAA" else "BBB"),
    "without a subject": signed({"scope": "sync:operate", "exp": LATER}),
    "subject is a list": signed({**OPERATOR, "sub": ["x"], "exp": LATER}),
    "subject is a number": signed({**OPERATOR, "sub": 7, "exp": LATER}),
    "subject holds NUL": signed({**OPERATOR, "sub": "a\0", "exp": LATER}),
    "subject holds half a character": signed({**OPERATOR, "sub": "\ud800", "exp": LATER}),
    "too long": signed({**OPERATOR, "exp": LATER, "more": "x" * 8192}),
}


async def test_token_that_is_not_good_is_refused_without_a_word_to_the_database(
    service: Service,
) -> None:
    for case, authorization in REFUSED.items():
        with recorded() as statements:
            response = await service.http.post(
                f"{service.url}/graphql",
                json={"query": "{ roles { code } }"},
                headers={"Authorization": authorization},
            )

        assert response.status_code == 401, case
        assert codes(response.json()) == ["UNAUTHENTICATED"], case
        assert "data" not in response.json()
        assert response.headers["www-authenticate"].startswith("Bearer")
        assert DEVELOPMENT_AUTH_SECRET not in response.text
        assert of_requests(statements) == []


async def test_anonymous_request_asks_nothing_of_the_database(service: Service) -> None:
    with recorded() as statements:
        viewer = await service.http.post(f"{service.url}/graphql", json={"query": VIEWER})
        roles = await service.http.post(
            f"{service.url}/graphql", json={"query": "{ roles { id } }"}
        )

    assert viewer.json()["data"] == {"viewer": None}
    assert codes(roles.json()) == ["UNAUTHENTICATED"]
    assert of_requests(statements) == []


async def test_good_token_is_taken_however_its_scheme_is_written(service: Service) -> None:
    token = GOOD.removeprefix("Bearer ")

    for authorization in (GOOD, f"bearer {token}", f"BEARER   {token}"):
        response = await service.http.post(
            f"{service.url}/graphql",
            json={"query": VIEWER},
            headers={"Authorization": authorization},
        )

        assert response.json()["data"] == {"viewer": {"accessLevel": "ADMIN"}}


async def test_subject_names_a_member_however_it_is_written(service: Service) -> None:
    await service.tell(created("Kari"))
    id = guid("Kari")

    for subject in (id, id.upper(), f"{{{id}}}"):
        token = signed({"sub": subject, "exp": LATER}).removeprefix("Bearer ")
        data = await service.data("{ viewer { member { givenName } } }", token=token)

        assert data["viewer"]["member"] == {"givenName": "Kari"}


async def test_only_the_whole_scope_makes_an_operator(service: Service) -> None:
    for scope in ("", "sync:operated", "xsync:operate", ["sync:operate"], 1, None):
        token = signed({**OPERATOR, "scope": scope, "exp": LATER}).removeprefix("Bearer ")

        answer = await service.ask(VIEWER, token=token)
        assert [it["extensions"]["reason"] for it in answer["errors"]] == ["MEMBER_UNKNOWN"]


async def test_scope_is_found_among_others(service: Service) -> None:
    token = signed({**OPERATOR, "scope": "openid sync:operate email", "exp": LATER})

    data = await service.data(VIEWER, token=token.removeprefix("Bearer "))

    assert data["viewer"]["accessLevel"] == "ADMIN"


async def test_operators_token_of_a_member_is_refused_over_http_and_sockets(
    service: Service,
) -> None:
    await service.tell(created("Kari"), deactivated("Kari"), created("Ola"))
    for name in ("Kari", "Ola"):
        token = signed({"sub": guid(name).upper(), "scope": "sync:operate", "exp": LATER})

        response = await service.http.post(
            f"{service.url}/graphql",
            json={"query": "{ members { totalCount } }"},
            headers={"Authorization": token},
        )
        socket = await connected(service, {"authorization": token})

        assert response.status_code == 401
        assert codes(response.json()) == ["UNAUTHENTICATED"]
        assert "data" not in response.json()
        assert await close_code(socket) == 4403


async def connected(
    service: Service, payload: object, headers: dict[str, str] | None = None
) -> ClientConnection:
    """Returns a socket that has sent its `connection_init`. The test closes it."""
    url = service.url.replace("http", "ws", 1) + "/graphql"
    protocol = Subprotocol("graphql-transport-ws")
    socket = await connect(url, subprotocols=[protocol], additional_headers=headers)
    await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
    return socket


async def close_code(socket: ClientConnection) -> int | None:
    async with asyncio.timeout(DEADLINE):
        await socket.wait_closed()
    return socket.close_code


async def test_token_that_is_not_good_closes_a_socket_without_a_word_to_the_database(
    service: Service,
) -> None:
    refused: dict[str, object] = {**REFUSED, "no text": 7, "null": None, "a list": [GOOD]}
    for case, authorization in refused.items():
        with recorded() as statements:
            socket = await connected(service, {"authorization": authorization})

            assert await close_code(socket) == 4403, case
        assert of_requests(statements) == []


async def test_key_of_the_connection_payload_may_be_written_in_any_case(service: Service) -> None:
    for key in ("authorization", "Authorization", "AUTHORIZATION"):
        socket = await connected(service, {key: GOOD})
        operation = {"id": "1", "type": "subscribe", "payload": {"query": VIEWER}}
        await socket.send(json.dumps(operation))

        messages = [json.loads(await socket.recv()) for _ in range(2)]

        assert messages[0] == {"type": "connection_ack"}
        assert messages[1]["payload"]["data"] == {"viewer": {"accessLevel": "ADMIN"}}
        await socket.close()


OTHERS = signed({**OPERATOR, "exp": EARLIER})
PLACES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "headers in the payload": ({"headers": {"Authorization": GOOD}}, {}),
    "in lower case": ({"Headers": {"authorization": GOOD}}, {}),
    "handshake": ({}, {"Authorization": GOOD}),
    "handshake, with other headers in the payload": (
        {"headers": {"x": 1}},
        {"Authorization": GOOD},
    ),
    "handshake, with headers that are none": ({"headers": "x"}, {"Authorization": GOOD}),
    "payload before its headers": (
        {"authorization": GOOD, "headers": {"Authorization": OTHERS}},
        {},
    ),
    "payload before the handshake": ({"authorization": GOOD}, {"Authorization": OTHERS}),
    "headers before the handshake": (
        {"headers": {"Authorization": GOOD}},
        {"Authorization": OTHERS},
    ),
}


@pytest.mark.parametrize("place", PLACES)
async def test_token_of_a_socket_is_found_wherever_clients_put_it(
    service: Service, place: str
) -> None:
    socket = await connected(service, *PLACES[place])
    operation = {"id": "1", "type": "subscribe", "payload": {"query": VIEWER}}
    await socket.send(json.dumps(operation))

    messages = [json.loads(await socket.recv()) for _ in range(2)]

    assert messages[0] == {"type": "connection_ack"}
    assert messages[1]["payload"]["data"] == {"viewer": {"accessLevel": "ADMIN"}}
    await socket.close()


@pytest.mark.parametrize("place", ["headers in the payload", "handshake"])
async def test_token_that_is_not_good_is_refused_wherever_it_is(
    service: Service, place: str
) -> None:
    payload, headers = PLACES[place]
    expired = json.loads(json.dumps([payload, headers]).replace(GOOD, OTHERS))

    socket = await connected(service, *expired)

    assert await close_code(socket) == 4403
    assert "expired" in (socket.close_reason or "")


async def test_anonymous_socket_may_open_and_sees_nothing(service: Service) -> None:
    for payload in ({}, {"more": 1}):
        socket = await connected(service, payload)
        query = {"query": "subscription { memberChanges { __typename } }"}
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": query}))

        ack, error = [json.loads(await socket.recv()) for _ in range(2)]

        assert ack == {"type": "connection_ack"}
        errors = error["payload"] if error["type"] == "error" else error["payload"]["errors"]
        assert [e["extensions"]["code"] for e in errors] == ["UNAUTHENTICATED"]
        await socket.close()


async def test_subject_is_read_from_the_claim_that_is_configured(sqlite_url: str) -> None:
    settings = Settings(database_url=sqlite_url, port=0, log_level="warning")
    settings = settings.model_copy(update={"auth_subject_claim": "oid"})
    async with running(settings) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        service = Service(url, http, settings)
        await service.tell(created("Kari"))
        by_oid = signed({"oid": guid("Kari"), "sub": "other", "exp": LATER})
        by_sub = signed({"sub": guid("Kari"), "exp": LATER})
        query = "{ viewer { member { givenName } } }"

        found = await service.data(query, token=by_oid.removeprefix("Bearer "))
        refused = await service.ask(query, token=by_sub.removeprefix("Bearer "))

    assert found["viewer"]["member"] == {"givenName": "Kari"}
    assert codes(refused) == ["UNAUTHENTICATED"]
