"""Deliveries are signed, retried by Dataverse's rule, and answered for with a result."""

import asyncio

import httpx
import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response

from sync.simulator.event_bodies import PortalEvent
from sync.simulator.portal import Portal
from sync.simulator.sender import LONGEST_PAUSE, Sender
from tests.sync.simulator.receiver import SECRET, Receiver, body_of, unused_url


class Pauses:
    """Takes the place of sleeping; remembers how long it should have been."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
def sender(receiver: Receiver, client: httpx.AsyncClient, pauses: Pauses) -> Sender:
    return Sender(receiver.url, SECRET, client, pause=pauses)


@pytest.fixture
def event(portal: Portal) -> PortalEvent:
    return next(portal.enrol(1))


async def test_signed_event_is_accepted(
    sender: Sender, receiver: Receiver, event: PortalEvent
) -> None:
    result = await sender.send(event)

    assert receiver.events == {event.id: body_of(event.body)}
    assert (result.event_id, result.http_status, result.attempts) == (event.id, 200, 1)
    assert (result.status, result.outcome, result.detail) == ("success", "updated", None)
    assert result.accepted
    assert result.seconds > 0


async def test_wrong_secret_is_refused_and_not_retried(
    receiver: Receiver, client: httpx.AsyncClient, event: PortalEvent
) -> None:
    result = await Sender(receiver.url, "whsec_d3Jvbmc=", client).send(event)

    assert (result.http_status, result.accepted, result.attempts) == (401, False, 1)
    assert (result.status, result.detail) == (None, "Unauthorized")
    assert receiver.events == {}


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_passing_trouble_is_retried_once(
    sender: Sender, receiver: Receiver, event: PortalEvent, status: int
) -> None:
    receiver.answers = [Response(status_code=status)]

    result = await sender.send(event)

    assert (result.http_status, result.attempts) == (200, 2)
    assert receiver.attempts == [event.id, event.id]


async def test_lasting_trouble_is_not_retried_twice(
    sender: Sender, receiver: Receiver, event: PortalEvent
) -> None:
    receiver.answers = [Response(status_code=503), Response(status_code=503)]

    result = await sender.send(event)

    assert (result.http_status, result.accepted, result.attempts) == (503, False, 2)
    assert len(receiver.attempts) == 2


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422, 429, 500])
async def test_other_refusals_are_final(
    sender: Sender, receiver: Receiver, event: PortalEvent, status: int
) -> None:
    receiver.answers = [Response(status_code=status)]

    result = await sender.send(event)

    assert (result.http_status, result.attempts) == (status, 1)
    assert receiver.attempts == [event.id]


@pytest.mark.parametrize(
    ("asked", "paused"), [("1", 1.0), ("0", 0.0), ("3600", LONGEST_PAUSE), ("soon", 0.2)]
)
async def test_retry_after_is_honoured_within_reason(
    sender: Sender,
    receiver: Receiver,
    event: PortalEvent,
    pauses: Pauses,
    asked: str,
    paused: float,
) -> None:
    receiver.answers = [Response(status_code=503, headers={"retry-after": asked})]

    await sender.send(event)

    assert pauses.seconds == [paused]


async def test_unreachable_service_is_reported_and_not_raised(
    client: httpx.AsyncClient, event: PortalEvent, pauses: Pauses
) -> None:
    result = await Sender(unused_url(), SECRET, client, pause=pauses).send(event)

    assert (result.http_status, result.accepted, result.attempts) == (None, False, 2)
    assert result.detail


async def test_broken_connection_is_retried(
    client: httpx.AsyncClient, event: PortalEvent, pauses: Pauses
) -> None:
    connections = 0

    async def hang_up_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        if connections > 1:
            writer.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(hang_up_once, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        result = await Sender(f"http://127.0.0.1:{port}", SECRET, client, pause=pauses).send(event)

    assert (result.http_status, result.accepted, result.attempts) == (202, True, 2)
    assert connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        PlainTextResponse("Bad gateway, says a proxy"),
        PlainTextResponse(b"\xff\xfe"),
        JSONResponse(["not", "an", "object"]),
        JSONResponse({"id": 1, "outcome": None, "more": {}}),
        Response(status_code=204),
    ],
)
async def test_unexpected_answer_leaves_status_and_outcome_unknown(
    sender: Sender, receiver: Receiver, event: PortalEvent, answer: Response
) -> None:
    receiver.answers = [answer]

    result = await sender.send(event)

    assert result.accepted
    assert (result.status, result.outcome) == (None, None)


async def test_address_with_a_trailing_slash_is_the_same(
    receiver: Receiver, client: httpx.AsyncClient, event: PortalEvent
) -> None:
    result = await Sender(f"{receiver.url}/", SECRET, client).send(event)

    assert result.accepted


async def test_source_names_the_route(
    receiver: Receiver, client: httpx.AsyncClient, event: PortalEvent
) -> None:
    result = await Sender(receiver.url, SECRET, client, source="other").send(event)

    assert result.http_status == 404
