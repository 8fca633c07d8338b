"""The rules of graphql-transport-ws, as its specification (PROTOCOL.md of graphql-ws) has them, one
by one: how a socket is closed that breaks one, and what is no reason to close it."""

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import connect

from db.errors import DatabaseUnavailableError
from tests.support.bare_sockets import CHANGES, PROTOCOL, Socket, names, socket
from tests.support.builders import created
from tests.support.service import DEADLINE, Service

INIT = {"type": "connection_init"}


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here is a matter of the database."""
    return sqlite_url


def subscribe(id: str = "1", query: str = CHANGES) -> dict[str, Any]:
    return {"type": "subscribe", "id": id, "payload": {"query": query}}


# What is sent, and the code that the socket is closed with.
VIOLATIONS: dict[str, tuple[list[dict[str, Any]], int]] = {
    "an operation before the connection is initialised": ([subscribe()], 4401),
    "a second initialisation": ([INIT, INIT], 4429),
    "two operations of one id at a time": ([INIT, subscribe(), subscribe()], 4409),
    "an operation without an id": ([INIT, {**subscribe(), "id": None}], 4400),
    "a message that is only for servers": ([INIT, {"type": "next", "id": "1"}], 4400),
    "a message without a type": ([INIT, {"id": "1"}], 4400),
}


@pytest.mark.parametrize("violation", VIOLATIONS)
async def test_socket_is_closed_with_the_code_of_what_it_broke(
    service: Service, violation: str
) -> None:
    messages, code = VIOLATIONS[violation]
    url = service.url.replace("http", "ws", 1) + "/graphql"

    async with connect(url, subprotocols=[PROTOCOL]) as connection, asyncio.timeout(DEADLINE):
        for message in messages:
            await connection.send(json.dumps(message))
        await connection.wait_closed()

    assert connection.close_code == code


# What is sent after the initialisation, and what the reason for closing begins with.
REASONS: dict[str, tuple[str | bytes | dict[str, Any], str]] = {
    "not JSON": ("{", "Invalid message: not JSON"),
    "an array": ("[1]", "Invalid message: Expected `object`, got `array`"),
    "binary": (b"{}", "Invalid message: send JSON as text"),
    "a type of the protocol before this one": (
        {"type": "start", "id": "1"},
        "Invalid message: graphql-transport-ws has no `start`",
    ),
    "a type that is too long to quote": ({"type": "😀" * 200}, "Invalid message: graphql-t"),
    "a completion of nothing": ({"type": "complete"}, "Invalid message: `complete` needs an `id`"),
    "an id that is too long": (subscribe("x" * 257), "Invalid subscribe id: "),
    "an id that is half a character": (subscribe("\ud800"), "Invalid subscribe id: "),
    "variables in a list": (
        {"type": "subscribe", "id": "1", "payload": {"query": CHANGES, "variables": []}},
        "Invalid subscribe payload: Expected `object | null`, got `array` - at `$.variables`",
    ),
}


@pytest.mark.parametrize("message", REASONS)
async def test_socket_that_is_closed_says_what_was_wrong_with_the_message(
    service: Service, message: str
) -> None:
    sent, reason = REASONS[message]

    async with socket(service) as one, asyncio.timeout(DEADLINE):
        await one.connection.send(sent if isinstance(sent, str | bytes) else json.dumps(sent))
        await one.connection.wait_closed()

    assert one.connection.close_code == 4400
    assert (one.connection.close_reason or "").startswith(reason)


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [("Bearer x", "Forbidden: The token is not valid."), (7, "Forbidden: `authorization` must be")],
)
async def test_socket_that_is_refused_says_why(
    service: Service, authorization: object, reason: str
) -> None:
    url = service.url.replace("http", "ws", 1) + "/graphql"

    async with connect(url, subprotocols=[PROTOCOL]) as connection, asyncio.timeout(DEADLINE):
        await connection.send(json.dumps({**INIT, "payload": {"authorization": authorization}}))
        await connection.wait_closed()

    assert connection.close_code == 4403
    assert (connection.close_reason or "").startswith(reason)


async def test_socket_is_to_come_back_when_the_database_is_away(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(*_: object) -> None:
        raise DatabaseUnavailableError

    monkeypatch.setattr("db.queries.members.viewers.ViewerLookups.find", away)
    url = service.url.replace("http", "ws", 1) + "/graphql"
    payload = {"authorization": f"Bearer {service.token('Kari')}"}

    async with connect(url, subprotocols=[PROTOCOL]) as connection, asyncio.timeout(DEADLINE):
        await connection.send(json.dumps({**INIT, "payload": payload}))
        await connection.wait_closed()

    assert connection.close_code == 1013
    assert errors_in(caplog) == []


async def test_id_that_is_too_long_for_the_reason_is_cut_and_nothing_is_logged(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    async with socket(service) as one, asyncio.timeout(DEADLINE):
        for _ in range(2):
            await one.send(**subscribe("😀" * 50))
        await one.connection.wait_closed()

    assert one.connection.close_code == 4409
    assert (one.connection.close_reason or "").startswith("Subscriber for 😀")
    assert errors_in(caplog) == []


async def test_text_that_is_not_utf_8_closes_its_socket_and_nothing_is_logged(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    async with socket(service) as one, asyncio.timeout(DEADLINE):
        await one.connection.send(b"\xff\xfe", text=True)
        await one.connection.wait_closed()

    assert one.connection.close_code == 1007
    assert errors_in(caplog) == []


# JSON can hold half a character, and browsers send it when a text was cut in its middle.
HALVES: dict[str, dict[str, Any]] = {
    "a cursor": {"query": CHANGES, "variables": {"after": "\ud800"}},
    "an id": {"query": CHANGES, "variables": {"organizationId": "\ud800"}},
    "an operation's name": {"query": CHANGES, "operationName": "\ud800"},
    "an enum": {
        "query": "query ($f: MemberFilter) { members(filter: $f) { totalCount } }",
        "variables": {"f": {"state": "\ud800"}},
    },
}


@pytest.mark.parametrize("half", HALVES)
async def test_half_a_character_fails_its_operation_alone_and_says_why(
    service: Service, half: str
) -> None:
    async with socket(service) as one:
        await one.send(type="subscribe", id="half", payload=HALVES[half])
        told = await one.received()
        errors = told["payload"] if told["type"] == "error" else told["payload"]["errors"]
        if told["type"] == "next":
            assert (await one.received())["type"] == "complete"
        answer = await asked(one, "half")

    assert errors[0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert errors[0]["message"] != "It failed."
    assert answer == ["next", "complete"]


async def test_variable_that_the_document_does_not_declare_changes_nothing(
    service: Service,
) -> None:
    async with socket(service) as one:
        await one.subscribe(unheard="\ud800")
        await one.values(1)
        await service.tell(created("Kari"))

        assert names(await one.values(1)) == [("1", "Kari")]


async def test_socket_that_offers_no_protocol_is_closed(service: Service) -> None:
    url = service.url.replace("http", "ws", 1) + "/graphql"

    async with connect(url) as connection, asyncio.timeout(DEADLINE):
        await connection.wait_closed()

    assert connection.close_code == 4406


@pytest.mark.parametrize(
    "query", ["subscription { nothing }", "subscription {", "", "query a { b }"]
)
async def test_operation_that_cannot_be_executed_fails_alone(service: Service, query: str) -> None:
    async with socket(service) as one:
        await one.send(**subscribe("bad", query))
        error = await one.received()
        # The id is free again.
        answer = await asked(one, "bad")

    assert (error["type"], error["id"]) == ("error", "bad")
    assert all(found["extensions"]["requestId"] for found in error["payload"])
    assert answer == ["next", "complete"]


async def test_ping_is_answered_with_its_payload_and_a_pong_is_not(service: Service) -> None:
    async with socket(service) as one:
        await one.send(type="pong")
        await one.send(type="ping", payload={"n": 1})

        assert (await one.received())["type"] == "pong"
        assert await asked(one, "1") == ["next", "complete"]


async def test_completing_what_is_not_there_changes_nothing(service: Service) -> None:
    async with socket(service) as one:
        await one.send(type="complete", id="never")

        assert await asked(one, "never") == ["next", "complete"]


async def asked(one: Socket, id: str) -> list[str]:
    """The types of the messages that a query is answered by."""
    await one.subscribe(id, "{ __typename }")
    messages = [await one.received() for _ in range(2)]
    assert {message["id"] for message in messages} == {id}
    return [message["type"] for message in messages]


def errors_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
