"""The rules of graphql-transport-ws, as its specification (PROTOCOL.md of graphql-ws) has them, one
by one: how a socket is closed that breaks one, and what is no reason to close it."""

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.live.sockets import CHANGES, PROTOCOL, Socket, socket
from tests.service import DEADLINE, Service

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
