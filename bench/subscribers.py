"""Thousands of subscribers over graphql-transport-ws that use little CPU themselves."""

import asyncio
import json
import os
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast
from urllib.parse import urlsplit

# What each change writes into the name of a member; a message of any server tells it by that.
NAMED = re.compile(rb"Changed (\d+)")
COMMITTED = re.compile(rb'"occurredAt":"([^"]+)"')
SENT = re.compile(rb'"sentAt":([0-9.]+)')


CONNECT_SECONDS = 60


@dataclass(slots=True)
class Deliveries:
    """The messages received: when each change was committed, when the last subscriber had it, and
    how often it came."""

    committed: dict[int, float] = field(default_factory=dict)
    last: dict[int, float] = field(default_factory=dict)
    count: dict[int, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.count.values())

    def note(self, text: bytes) -> None:
        found = NAMED.search(text)
        if found is None:
            return
        now, number = time.time(), int(found[1])
        if number not in self.committed:
            self.committed[number] = _committed(text) or now
        self.last[number] = now
        self.count[number] = self.count.get(number, 0) + 1


def _committed(text: bytes) -> float | None:
    if (found := COMMITTED.search(text)) is not None:
        return datetime.fromisoformat(found[1].decode()).timestamp()
    if (found := SENT.search(text)) is not None:
        return float(found[1]) / 1e6
    return None


class Subscriber(asyncio.Protocol):
    """A minimal WebSocket client, whose frames are masked with zeros."""

    def __init__(
        self, url: str, operation: dict[str, object], token: str, deliveries: Deliveries
    ) -> None:
        self._url = urlsplit(url)
        self._subscribe = {"id": str(uuid.uuid4()), "type": "subscribe", "payload": operation}
        self._init: dict[str, object] = {"type": "connection_init", "payload": {}}
        if token:
            self._init["payload"] = {"authorization": f"Bearer {token}"}
        self._deliveries = deliveries
        self._buffer = b""
        self._upgraded = False
        self.acknowledged = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is none of asyncio's by name.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(
            f"GET {self._url.path} HTTP/1.1\r\nHost: {self._url.netloc}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.acknowledged.done():
            self.acknowledged.set_exception(exc or ConnectionError("closed"))

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        if not self._upgraded:
            head, end, buffer = buffer.partition(b"\r\n\r\n")
            if not end:
                self._buffer = head
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self._transport.close()
                return
            self._upgraded = True
            self._send(self._init)
        start = 0
        while (frame := _frame(buffer, start)) is not None:
            opcode, begin, start = frame
            self._take(opcode, buffer[begin:start])
        self._buffer = buffer[start:]

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == 1:
            if self.acknowledged.done():
                self._deliveries.note(payload)
            elif b"connection_ack" in payload:
                self._send(self._subscribe)
                self.acknowledged.set_result(None)
        elif opcode == 9:
            self._transport.write(bytes([0x8A, 0x80 | len(payload), 0, 0, 0, 0]) + payload)

    def _send(self, message: Mapping[str, object]) -> None:
        payload = json.dumps(message).encode()
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        self._transport.write(b"\x81" + length + bytes(4) + payload)


def _frame(buffer: bytes, start: int) -> tuple[int, int, int] | None:
    """Returns the opcode and the bounds of the payload, or None while the frame is incomplete."""
    if len(buffer) - start < 2:
        return None
    size, begin = buffer[start + 1], start + 2
    if size == 126:
        begin += 2
        size = int.from_bytes(buffer[start + 2 : begin], "big")
    elif size == 127:
        begin += 8
        size = int.from_bytes(buffer[start + 2 : begin], "big")
    end = begin + size
    return (buffer[start] & 15, begin, end) if len(buffer) >= end else None


async def connected(
    count: int, make: Callable[[], Subscriber], host: str, port: int
) -> list[Subscriber]:
    """Connects a few dozen at a time, as clients do after another server has restarted."""
    loop = asyncio.get_running_loop()
    slots = asyncio.Semaphore(50)

    async def connect() -> Subscriber:
        async with slots:
            _, subscriber = await loop.create_connection(make, host, port)
            async with asyncio.timeout(CONNECT_SECONDS):
                await subscriber.acknowledged
            return subscriber

    return await asyncio.gather(*(connect() for _ in range(count)))


@dataclass(frozen=True, slots=True)
class Usage:
    """The CPU seconds of a process so far, and its memory in KiB now."""

    cpu: float
    memory_kib: float

    @classmethod
    def of(cls, pid: int) -> "Usage":
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 -- read very often
            fields = file.read().rpartition(b")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        pages = int(fields[21])
        return cls(ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 1024)
