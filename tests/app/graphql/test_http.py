"""HTTP and sockets around GraphQL: media types, methods, malformed input, and the other routes."""

import asyncio
import gzip
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from app.auth.own_tokens import mint
from app.server import running
from app.settings import Settings
from db.errors import DatabaseUnavailableError
from db.migrate import migrate
from tests.support.answers import codes
from tests.support.builders import created
from tests.support.postgres import PostgresCluster
from tests.support.service import DEADLINE, Service

GRAPHQL_RESPONSE = "application/graphql-response+json"
VIEWER = "{ viewer { accessLevel } }"
SET_ACCESS = """mutation { setRoleAccess(input: {code: "member", accessLevel: ADMIN}) {
    __typename } }"""


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here is a matter of the database, but for the tests that bring their own."""
    return sqlite_url


async def post(service: Service, body: bytes, **headers: str) -> httpx.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    content_type = {"content-type": "application/json"}
    return await service.http.post(
        f"{service.url}/graphql",
        content=body,
        headers={"authorization": f"Bearer {service.token()}", **content_type, **given},
    )


def query(text: str, **more: Any) -> bytes:
    return json.dumps({"query": text, **more}).encode()


async def test_answer_has_the_media_type_that_was_asked_for(service: Service) -> None:
    expected = {
        "": "application/json",
        "*/*": "application/json",
        "application/*": "application/json",
        "application/json": "application/json",
        GRAPHQL_RESPONSE: GRAPHQL_RESPONSE,
        f"{GRAPHQL_RESPONSE}, application/json;q=0.9": GRAPHQL_RESPONSE,
        f"application/json, {GRAPHQL_RESPONSE};q=0.5": "application/json",
        f"application/json;q=0.1, {GRAPHQL_RESPONSE.upper()};q=0.2": GRAPHQL_RESPONSE,
        f"{GRAPHQL_RESPONSE};q=x, */*;q=0.1": GRAPHQL_RESPONSE,
    }

    for accept, media_type in expected.items():
        response = await post(service, query(VIEWER), accept=accept)

        assert response.status_code == 200
        assert response.headers["content-type"].split(";")[0] == media_type, accept
        assert response.json()["data"] == {"viewer": {"accessLevel": "ADMIN"}}


async def test_document_that_cannot_run_is_a_bad_request_only_to_those_who_know_why(
    service: Service,
) -> None:
    for document in ("{", "{ nothing }", "{ members(first: []) { totalCount } }"):
        old = await post(service, query(document), accept="application/json")
        new = await post(service, query(document), accept=GRAPHQL_RESPONSE)

        assert (old.status_code, new.status_code) == (200, 400), document
        for response in (old, new):
            assert response.json()["errors"]
            assert "data" not in response.json()


async def test_operation_that_is_named_runs_and_none_of_the_others(service: Service) -> None:
    document = SET_ACCESS.replace("mutation", "mutation First") + f" query Viewer {VIEWER}"
    before = await service.data("{ roles { code accessLevel } }")

    second = await post(service, query(document, operationName="Viewer"))
    unknown = await post(service, query(document, operationName="viewer"))
    none = await post(service, query(document))

    assert second.json()["data"] == {"viewer": {"accessLevel": "ADMIN"}}
    for response in (unknown, none):
        assert codes(response.json()) == ["BAD_USER_INPUT"]
        assert "data" not in response.json()
    assert await service.data("{ roles { code accessLevel } }") == before


async def test_field_that_is_refused_is_an_answer_all_the_same(service: Service) -> None:
    response = await post(
        service, query("{ members(first: 0) { totalCount } }"), accept=GRAPHQL_RESPONSE
    )

    assert response.status_code == 200
    assert response.json()["data"] is None
    assert codes(response.json()) == ["BAD_USER_INPUT"]


async def test_query_may_come_by_get_but_a_mutation_may_not(service: Service) -> None:
    headers = {"authorization": f"Bearer {service.token()}"}
    url = f"{service.url}/graphql"
    before = await service.data("{ roles { code accessLevel } }")

    answer = await service.http.get(url, params={"query": VIEWER}, headers=headers)
    refused = await service.http.get(url, params={"query": SET_ACCESS}, headers=headers)
    empty = await service.http.get(url, headers=headers)

    assert answer.json()["data"] == {"viewer": {"accessLevel": "ADMIN"}}
    assert 400 <= refused.status_code < 500
    assert refused.json()["errors"]
    assert 400 <= empty.status_code < 500
    assert await service.data("{ roles { code accessLevel } }") == before


async def test_other_methods_are_not_allowed(service: Service) -> None:
    for method in ("PUT", "DELETE", "PATCH"):
        response = await service.http.request(method, f"{service.url}/graphql")

        assert response.status_code == 405
        assert {"GET", "POST"} <= set(response.headers["allow"].split(", "))


MALFORMED = [
    b"",
    b"{",
    b"null",
    b"7",
    b'"x"',
    b"[]",
    b"[1]",
    b"{}",
    b"\xff\xfe",
    b'{"query": null}',
    b'{"query": 7}',
    b'{"query": []}',
    b'{"query": "{ viewer { accessLevel } }", "variables": 7}',
    b'{"query": "{ viewer { accessLevel } }", "variables": "x"}',
    b'{"query": "{ viewer { accessLevel } }", "variables": [1]}',
    b'{"query": "{ viewer { accessLevel } }", "operationName": 7}',
    b'{"query": "{ viewer { accessLevel } }", "operationName": "B"}',
    b'{"query": "{ viewer { accessLevel } }", "extensions": 7}',
    b'{"query": "\\ud800"}',
    b'{"query": "{ viewer { accessLevel } }", "operationName": "\\ud800"}',
    b'{"query": "{ a' + b"\\u0000" + b' }"}',
    b'{"query": "' + b"{ a " * 5000 + b'"}',
    b'{"a": ' + b"[" * 50_000,
    b'{"query": "\xff"}',
    b'{"query": "query ($v: [ID!]!) { nodes(ids: $v) { id } }", "variables": {"v": '
    + b"[" * 900
    + b"]" * 900
    + b"}}",
]


@pytest.mark.parametrize("body", MALFORMED, ids=lambda body: repr(body[:60]))
async def test_malformed_request_is_answered_by_errors_and_nothing_is_logged(
    service: Service, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    for accept in ("application/json", GRAPHQL_RESPONSE):
        response = await post(service, body, accept=accept)

        assert 400 <= response.status_code < 500 or (
            response.status_code == 200 and accept == "application/json"
        )
        assert response.json()["errors"], response.text
        assert "INTERNAL_SERVER_ERROR" not in codes(response.json())
        assert "Traceback" not in response.text
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


async def test_compressed_body_is_refused_before_it_is_unpacked(service: Service) -> None:
    packed = gzip.compress(json.dumps({"query": VIEWER}).encode())

    refused = await post(service, packed, content_encoding="gzip")
    served = await post(service, gzip.decompress(packed), content_encoding="identity")

    assert refused.status_code == 415
    assert refused.headers["accept-encoding"] == "identity"
    assert codes(refused.json()) == ["BAD_USER_INPUT"]
    assert served.status_code == 200


async def test_body_that_is_not_json_by_its_type_is_refused(service: Service) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/xml", ""):
        response = await post(service, query(SET_ACCESS), content_type=content_type)

        assert 400 <= response.status_code < 500
        assert response.json()["errors"]


async def test_unknown_path_is_a_problem_document(service: Service) -> None:
    for path in ("/nothing", "/graphql/", "/webhooks/", "/graphiql/nothing.js"):
        response = await service.http.get(f"{service.url}{path}")

        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"


async def test_service_is_alive_and_ready(service: Service) -> None:
    alive = await service.http.get(f"{service.url}/healthz")
    ready = await service.http.get(f"{service.url}/readyz")

    assert (alive.status_code, ready.status_code) == (200, 200)
    assert (alive.json(), ready.json()) == ({"status": "ok"}, {"status": "ready"})


async def status_of(http: httpx.AsyncClient, url: str, wanted: int) -> None:
    """Waits until the URL answers with this status."""
    async with asyncio.timeout(3 * DEADLINE):
        while (await http.get(url)).status_code != wanted:
            pass


async def test_service_is_not_ready_while_its_database_is_away() -> None:
    with PostgresCluster() as cluster:
        url = cluster.create_database("likeperson")
        await migrate(url)
        settings = Settings(database_url=url, port=0, log_level="error")
        async with running(settings) as base, httpx.AsyncClient(timeout=2 * DEADLINE) as http:
            service = Service(base, http, settings)
            await service.tell(created("Kari"))
            await status_of(http, f"{base}/readyz", 200)

            cluster.stop()
            away = await http.get(f"{base}/readyz")
            alive = await http.get(f"{base}/healthz")
            delivery = await service.deliver(created("Per"))
            answer = await service.ask("{ members { totalCount } }")
            cluster.start()
            await status_of(http, f"{base}/readyz", 200)
            data = await service.data("{ members { totalCount } }")

    assert (away.status_code, alive.status_code) == (503, 200)
    assert away.headers["content-type"] == "application/problem+json"
    assert int(away.headers["retry-after"]) > 0
    assert delivery.status_code == 503
    assert codes(answer) == ["INTERNAL_SERVER_ERROR"]
    assert "127.0.0.1" not in json.dumps(answer)
    assert data["members"]["totalCount"] == 1


async def test_service_is_not_ready_on_a_schema_that_it_cannot_use(
    service: Service, sqlite_url: str
) -> None:
    def move_on() -> None:
        with closing(sqlite3.connect(sqlite_url.partition("///")[2])) as connection:
            connection.execute("UPDATE alembic_version SET version_num = 'another'")
            connection.execute("UPDATE schema_compatibility SET oldest = 'another'")
            connection.commit()

    await asyncio.to_thread(move_on)
    response = await service.http.get(f"{service.url}/readyz")

    assert response.status_code == 503
    assert "another" not in response.text.replace("is another", "")


async def test_service_is_not_ready_while_its_feed_cannot_be_read(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unread(*_: object, **__: object) -> None:
        raise DatabaseUnavailableError

    readyz = f"{service.url}/readyz"
    with monkeypatch.context() as outage:
        outage.setattr("db.feed.change_feed.changes_after", unread)
        await status_of(service.http, readyz, 503)
        told = await service.http.get(readyz)
        alive = await service.http.get(f"{service.url}/healthz")
    await status_of(service.http, readyz, 200)

    assert told.headers["content-type"] == "application/problem+json"
    assert "The change feed is not being read." in told.text
    assert int(told.headers["retry-after"]) > 0
    assert alive.status_code == 200


async def test_metrics_count_refusals_by_reason_and_show_nobody(service: Service) -> None:
    await service.deliver(created("Kari"), webhook_signature="v1,AAAA")
    await service.deliver(created("Kari"), webhook_timestamp="1000000000")
    await service.deliver(created("Kari"), webhook_timestamp="yesterday")
    await service.http.post(f"{service.url}/webhooks/portal", json={})
    await service.tell(created("Kari"))

    page = await service.http.get(f"{service.url}/metrics")

    assert page.headers["content-type"].startswith("text/plain")
    for reason in ("signature_wrong", "timestamp_stale", "header_malformed", "header_missing"):
        counter = "likeperson_deliveries_refused_total"
        assert f'{counter}{{reason="{reason}",source="portal"}} 1.0' in page.text
    assert 'likeperson_deliveries_total{code="401",source="portal",status="none"} 4.0' in page.text
    assert 'code="200",source="portal",status="success"} 1.0' in page.text
    assert "likeperson_feed_position " in page.text
    assert "Kari" not in page.text


async def test_open_sockets_are_counted(service: Service) -> None:
    async def open_sockets() -> str:
        page = await service.http.get(f"{service.url}/metrics")
        (line,) = [line for line in page.text.splitlines() if line.startswith("likeperson_open_s")]
        return line.split()[1]

    async with service.subscribe("subscription { memberChanges { __typename } }") as stream:
        await anext(stream)
        during = await open_sockets()
    async with asyncio.timeout(DEADLINE):
        while await open_sockets() != "0.0":
            pass

    assert during == "1.0"


async def test_pages_are_served_with_everything_they_need(service: Service) -> None:
    console = await service.http.get(service.url)
    deep = await service.http.get(f"{service.url}/medlemmer/TWVtYmVyOjE")
    elsewhere = await service.http.get(f"{service.url}/medlemmene")
    graphiql = await service.http.get(f"{service.url}/graphiql")

    assert deep.text == console.text
    assert elsewhere.status_code == 404
    for page in (console, graphiql):
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert 'src="http' not in page.text
        assert 'href="http' not in page.text


SOCKET = Subprotocol("graphql-transport-ws")


@asynccontextmanager
async def open_socket(service: Service) -> AsyncIterator[ClientConnection]:
    """A socket of an operator, past its `connection_ack`."""
    payload = {"authorization": f"Bearer {service.token()}"}
    url = service.url.replace("http", "ws", 1) + "/graphql"
    async with connect(url, subprotocols=[SOCKET]) as socket, asyncio.timeout(DEADLINE):
        await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        yield socket


@pytest.mark.parametrize(
    "message",
    [
        "{",
        "[" * 50_000,
        "[1]",
        "7",
        "null",
        b"{}",
        {},
        {"type": 7},
        {"type": ["subscribe"]},
        {"type": "unknown"},
        {"type": "subscribe"},
        {"type": "subscribe", "id": "1"},
        {"type": "subscribe", "id": ["1"], "payload": {"query": VIEWER}},
        {"type": "subscribe", "id": "1", "payload": "x"},
        {"type": "subscribe", "id": "1", "payload": {"query": 7}},
        {"type": "subscribe", "id": "1", "payload": {"query": VIEWER, "variables": 7}},
        {"type": "complete", "id": {}},
    ],
    ids=lambda message: str(message)[:60],
)
async def test_malformed_message_closes_its_socket_and_nothing_is_logged(
    service: Service, message: object, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_socket(service) as socket:
        await socket.send(message if isinstance(message, str | bytes) else json.dumps(message))
        await socket.wait_closed()

    assert socket.close_code == 4400
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


async def test_document_that_cannot_run_costs_one_operation_and_not_the_socket(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_socket(service) as socket:
        for document in ("{", "", "{ nothing }", "subscription { nothing }", "{ a " * 5000):
            operation = {"type": "subscribe", "id": "1", "payload": {"query": document}}
            await socket.send(json.dumps(operation))
            error = json.loads(await socket.recv())

            assert (error["type"], error["id"]) == ("error", "1")

        await socket.send(
            json.dumps({"type": "subscribe", "id": "1", "payload": {"query": VIEWER}})
        )
        answer = json.loads(await socket.recv())

    assert answer["payload"]["data"] == {"viewer": {"accessLevel": "ADMIN"}}
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


async def test_sockets_speak_graphql_transport_ws_alone_and_to_no_foreign_page(
    service: Service,
) -> None:
    url = service.url.replace("http", "ws", 1) + "/graphql"

    with pytest.raises(InvalidStatus) as refused:
        async with connect(url, subprotocols=[SOCKET], origin=Origin("https://evil.example")):
            pass
    codes_of_others = []
    for protocol in ("graphql-ws", "nothing"):
        async with connect(url, subprotocols=[Subprotocol(protocol)]) as socket:
            async with asyncio.timeout(DEADLINE):
                await socket.wait_closed()
            codes_of_others.append(socket.close_code)

    assert refused.value.response.status_code == 403
    assert codes_of_others == [4406, 4406]


async def test_socket_that_says_nothing_is_closed(
    settings: Settings,
) -> None:
    hasty = settings.model_copy(update={"socket_init_seconds": 0.1})

    async with running(hasty) as url, asyncio.timeout(DEADLINE):
        base = url.replace("http", "ws", 1)
        async with (
            connect(f"{base}/graphql", subprotocols=[SOCKET]) as other,
            connect(f"{base}/graphql", subprotocols=[SOCKET]) as socket,
        ):
            token = mint(hasty, "test", operator=True, lifetime=timedelta(hours=1))
            payload = {"authorization": f"Bearer {token}"}
            await other.send(json.dumps({"type": "connection_init", "payload": payload}))
            await socket.wait_closed()
            await other.send('{"type": "ping"}')
            answers = [json.loads(await other.recv())["type"] for _ in range(2)]

    assert socket.close_code == 4408
    assert answers == ["connection_ack", "pong"]
