"""Floods of a service, as a program: `python -m tests.faults.floods KIND PORT CONNECTIONS [TOKEN]`.

It reads no more than it must, connects again when it is cut off, and runs until it is killed.
"""

import asyncio
import json
import resource
import sys
from contextlib import suppress

from tests.support.bare_sockets import CHANGES

BLOCK = 64 * 1024
HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\nhost: test\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
)
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def frame(opcode: int, payload: bytes = b"", *, final: bool = True) -> bytes:
    """Masked with zeros, which is a mask like any other."""
    head = bytes([opcode | (0x80 if final else 0)])
    if len(payload) < 126:
        return head + bytes([0x80 | len(payload)]) + bytes(4) + payload
    return head + b"\xfe" + len(payload).to_bytes(2, "big") + bytes(4) + payload


def text(**message: object) -> bytes:
    return frame(0x1, json.dumps(message).encode())


PING, PONG, CONTINUATION = frame(0x9), frame(0xA), frame(0x0, final=False)


class Flood:
    """What one connection sends: something to begin with, and then the same again and again."""

    def __init__(
        self,
        begin: bytes,
        repeat: bytes = b"",
        *,
        socket: bool = False,
    ) -> None:
        self.begin = begin
        self.repeat = repeat * max(1, BLOCK // len(repeat)) if repeat else b""
        self.socket = socket

    async def run(self, streams: Streams, token: str | None) -> None:
        reader, writer = streams
        if self.socket:
            writer.write(HANDSHAKE)
            await reader.readuntil(b"\r\n\r\n")
            if token is not None:
                writer.write(text(type="connection_init", payload={"authorization": token}))
                await reader.readuntil(b"connection_ack")
        writer.write(self.begin)
        while self.repeat:
            writer.write(self.repeat)
            await writer.drain()
        # Nothing more is sent, and nothing read.
        reader._transport.pause_reading()  # type: ignore[attr-defined]  # there is no other way
        await asyncio.Event().wait()


def post(*headers: bytes, body: bytes = b"") -> bytes:
    lines = [b"POST /webhooks/portal HTTP/1.1", b"host: test", b"content-type: application/json"]
    return b"\r\n".join([*lines, *headers, b"", body])


SUBSCRIPTIONS = b"".join(
    text(type="subscribe", id=str(number), payload={"query": CHANGES}) for number in range(90)
)
FLOODS = {
    "pings": Flood(b"", PING, socket=True),
    "pings that are not read": Flood(frame(0x9, bytes(125)), frame(0x9, bytes(125)), socket=True),
    "pongs": Flood(b"", PONG, socket=True),
    "continuation": Flood(frame(0x1, final=False), CONTINUATION, socket=True),
    "messages": Flood(b"", text(type="ping"), socket=True),
    "headers": Flood(b"GET /healthz HTTP/1.1\r\n", b"X-n: a\r\n"),
    "a long header": Flood(b"GET /healthz HTTP/1.1\r\nX-n: ", b"a"),
    "trailers": Flood(post(b"transfer-encoding: chunked", body=b"1\r\n{\r\n0\r\n"), b"X-n: a\r\n"),
    "chunks": Flood(post(b"transfer-encoding: chunked"), b"1\r\na\r\n"),
    "bodies": Flood(post(b"content-length: 1048576", body=b" " * 1_048_575)),
    "requests": Flood(b"", b"GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n"),
    "silent": Flood(b""),
    "silent sockets": Flood(b"", socket=True),
    "subscribers": Flood(SUBSCRIPTIONS, socket=True),
}


async def attack(flood: Flood, port: int, token: str | None, begun: asyncio.Event) -> None:
    """One connection after the other."""
    while True:
        with suppress(OSError, asyncio.IncompleteReadError):
            streams = await asyncio.open_connection("127.0.0.1", port)
            begun.set()
            try:
                await flood.run(streams, token)
            finally:
                streams[1].transport.abort()


async def main(kind: str, port: str, connections: str, token: str = "") -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    flood, bearer = FLOODS[kind], f"Bearer {token}" if token else None
    begun = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(int(connections)):
            tasks.create_task(attack(flood, int(port), bearer, begun))
        await begun.wait()
        print("begun", flush=True)  # noqa: T201  # for the test that has started this


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
