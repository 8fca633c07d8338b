"""Frames: cut apart wherever they arrive in pieces, and refused when there are too many of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode

from app.graphql.frames import FrameCutter
from app.graphql.websocket_protocol import (
    FRAMES_AT_ONCE,
    FRAMES_UNIDENTIFIED,
    MAX_FRAGMENTS,
)
from app.server import running
from app.settings import Settings
from tests.faults.floods import CONTINUATION, HANDSHAKE, PING, PONG, frame, text
from tests.support.service import DEADLINE, Service


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here is a matter of the database."""
    return sqlite_url


lengths = st.sampled_from([0, 1, 5, 125, 126, 127, 300, 65_535, 65_536, 70_000])
frames = st.builds(
    lambda length, masked: Frame(Opcode.BINARY, bytes(length)).serialize(mask=masked),
    lengths,
    st.booleans(),
)


@given(st.lists(frames, max_size=6), st.data())
def test_frames_are_cut_apart_however_they_arrive(sent: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(sent)
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=8).map(sorted))
    cutter = FrameCutter()
    taken: list[bytes] = []
    goes_on = False

    for start, end in pairwise([0, *cuts, len(whole)]):
        cutter.add(whole[start:end])
        while piece := cutter.take():
            taken += [taken.pop() + piece] if goes_on else [piece]
            goes_on = cutter.unfinished > 0

    assert taken == sent
    assert len(cutter) == 0


class RawSocket:
    """A WebSocket of which every byte is the test's own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *sent: bytes) -> None:
        self.writer.write(b"".join(sent))
        await self.writer.drain()

    async def send_until_cut_off(self, repeated: bytes) -> None:
        with suppress(ConnectionError):
            while True:
                await self.send(repeated)

    async def received(self) -> tuple[Opcode, bytes]:
        async with asyncio.timeout(DEADLINE):
            head, length = await self.reader.readexactly(2)
            if length == 126:
                length = int.from_bytes(await self.reader.readexactly(2), "big")
            return Opcode(head & 0x0F), await self.reader.readexactly(length)

    async def closed(self) -> Close:
        """What the service says when it closes the socket. Pings and messages are passed over."""
        while True:
            opcode, payload = await self.received()
            if opcode is Opcode.CLOSE:
                return Close.parse(payload)

    async def ended(self) -> None:
        """Returns when the connection is closed, and not only the socket."""
        async with asyncio.timeout(DEADLINE):
            await self.reader.read()


@asynccontextmanager
async def raw_socket(service: Service, token: str | None = None) -> AsyncIterator[RawSocket]:
    port = urlsplit(service.url).port
    socket = RawSocket(*await asyncio.open_connection("127.0.0.1", port))
    try:
        await socket.send(HANDSHAKE)
        await socket.reader.readuntil(b"\r\n\r\n")
        if token is not None:
            payload = {"authorization": f"Bearer {token}"}
            await socket.send(text(type="connection_init", payload=payload))
            assert await socket.received() == (Opcode.TEXT, b'{"type":"connection_ack"}')
        yield socket
    finally:
        socket.writer.transport.abort()


BEGUN = frame(0x1, final=False)
FLOODS = {
    "pings": (b"", PING),
    "pongs": (b"", PONG),
    "empty continuations": (BEGUN, CONTINUATION),
    "messages": (b"", text(type="pong")),
}


@pytest.mark.parametrize("known", [False, True], ids=["without credentials", "with a token"])
@pytest.mark.parametrize("flood", FLOODS)
async def test_socket_that_sends_too_many_frames_is_closed(
    service: Service, flood: str, known: bool
) -> None:
    begin, repeated = FLOODS[flood]
    async with raw_socket(service, service.token() if known else None) as socket:
        await socket.send(begin, repeated * (FRAMES_AT_ONCE * 2))
        close = await socket.closed()
        await socket.ended()

    assert close.code == 1008


async def test_frames_within_the_limits_are_answered(service: Service) -> None:
    async with raw_socket(service) as socket:
        await socket.send(PING * (FRAMES_UNIDENTIFIED - 1))
        pongs = [await socket.received() for _ in range(FRAMES_UNIDENTIFIED - 1)]
    async with raw_socket(service, service.token()) as known:
        await known.send(PING * (FRAMES_AT_ONCE - 10))
        pongs += [await known.received() for _ in range(FRAMES_AT_ONCE - 10)]

    assert set(pongs) == {(Opcode.PONG, b"")}


async def test_message_may_come_in_many_frames_but_not_in_any_number(service: Service) -> None:
    message = b'{"type":"ping"' + b" " * (MAX_FRAGMENTS - 15) + b"}"
    first, *middle, last = [bytes([byte]) for byte in message]
    assert len(message) == MAX_FRAGMENTS
    sent = [
        frame(0x1, first, final=False),
        *(frame(0x0, part, final=False) for part in middle),
        frame(0x0, last),
    ]
    async with raw_socket(service, service.token()) as socket:
        await socket.send(*sent)
        answer = await socket.received()
    async with raw_socket(service, service.token()) as socket:
        await socket.send(*sent[:-1], *([CONTINUATION] * 2))
        close = await socket.closed()

    assert answer == (Opcode.TEXT, b'{"type":"pong"}')
    assert (close.code, close.reason) == (1008, f"More than {MAX_FRAGMENTS} frames in a message")


async def test_one_message_may_come_before_the_initialisation(service: Service) -> None:
    ping = text(type="ping")
    async with raw_socket(service) as socket:
        await socket.send(ping)
        answer = await socket.received()
        await socket.send(ping)
        close = await socket.closed()

    assert answer == (Opcode.TEXT, b'{"type":"pong"}')
    assert (close.code, close.reason) == (1008, "Send `connection_init` first")


async def test_nothing_is_answered_to_a_client_that_does_not_read(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that what waits for it does not grow."""
    monkeypatch.setattr("app.graphql.websocket_protocol.FRAMES_AT_ONCE", 10**9)
    monkeypatch.setattr("app.graphql.websocket_protocol.STALLED_SECONDS", 0.2)
    monkeypatch.setattr("app.edge.connection_bounds.CHECK_SECONDS", 0.05)
    monkeypatch.setattr("app.edge.connection_bounds.MAX_HELD_BYTES_EACH", 200_000)
    async with raw_socket(service, service.token()) as socket, asyncio.timeout(DEADLINE):
        socket.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's has it
        await socket.send_until_cut_off(frame(0x9, bytes(125)) * 500)


@pytest.mark.parametrize("initialised", [False, True])
async def test_socket_without_credentials_lives_as_long_as_one_may_take_to_send_them(
    settings: Settings, initialised: bool
) -> None:
    hasty = settings.model_copy(update={"socket_init_seconds": 0.2})
    async with (
        running(hasty) as url,
        httpx.AsyncClient() as http,
        raw_socket(Service(url, http, hasty)) as socket,
    ):
        if initialised:
            await socket.send(text(type="connection_init"))
        close = await socket.closed()
        # The client does not answer the close frame, and is not waited for.
        async with asyncio.timeout(5):
            await socket.ended()

    assert close.code == (4401 if initialised else 4408)
