"""HTTP by hand: whatever bytes somebody may send, and what comes back."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.settings import DEVELOPMENT_WEBHOOK_SECRET
from tests.faults.process import PATIENCE

Headers = Sequence[tuple[bytes, bytes]]
PATH = b"/webhooks/portal"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: bytes
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Attack:
    """`whole`: as far as its sender says, nothing is missing, so an answer must come. Of the
    others the connection is closed behind the last byte, and an answer may come."""

    sent: bytes
    whole: bool = True
    signed: bool = False

    def __repr__(self) -> str:
        return f"Attack({len(self.sent)} bytes: {self.sent[:1000]!r}…)"


def request(headers: Headers, body: bytes, path: bytes = PATH) -> bytes:
    """With no more headers than given."""
    lines = [b"POST %s HTTP/1.1" % path, b"host: test"]
    lines += [b"%s: %s" % header for header in headers]
    return b"\r\n".join([*lines, b"", body])


def signature_headers(event_id: bytes, body: bytes) -> list[tuple[bytes, bytes]]:
    """A true signature, whatever the body is."""
    now = b"%d" % datetime.now(UTC).timestamp()
    key = base64.b64decode(DEVELOPMENT_WEBHOOK_SECRET.removeprefix("whsec_"))
    digest = hmac.new(key, b"%s.%s.%s" % (event_id, now, body), hashlib.sha256).digest()
    return [
        (b"webhook-id", event_id),
        (b"webhook-timestamp", now),
        (b"webhook-signature", b"v1," + base64.b64encode(digest)),
    ]


def json_headers(body: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]


def good_request(event_id: bytes, event: dict[str, Any]) -> bytes:
    body = json.dumps(event).encode()
    return request([*json_headers(body), *signature_headers(event_id, body)], body)


class Connection:
    """One request on its way. Close it in any case."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def opened(cls, port: int) -> "Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, sent: bytes) -> None:
        """In pieces, as bodies come. Raises ConnectionError when nobody listens any longer."""
        for start in range(0, len(sent), 2**16):
            self._writer.write(sent[start : start + 2**16])
            await self._writer.drain()

    def stop_reading(self) -> None:
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's has it

    def end(self) -> None:
        """Nothing more will be sent."""
        self._writer.write_eof()

    async def answer(self) -> Answer:
        """Raises ConnectionError or IncompleteReadError when there is none."""
        async with asyncio.timeout(PATIENCE):
            head = b"http/1.1 100"
            while head[9:12] == b"100":  # Go on, it says: so we did.
                head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
            _, _, length = head.partition(b"content-length:")
            body = await self._reader.readexactly(int(length.split(b"\r\n", 1)[0]))
        return Answer(int(head[9:12]), head, body)

    async def received(self, text: bytes) -> None:
        """Returns when this text has come."""
        async with asyncio.timeout(PATIENCE):
            await self._reader.readuntil(text)

    async def answer_without_body(self) -> Answer:
        """To a HEAD, or that the body is waited for."""
        async with asyncio.timeout(PATIENCE):
            head = await self._reader.readuntil(b"\r\n\r\n")
        return Answer(int(head[9:12]), head, b"")

    def close(self) -> None:
        self._writer.transport.abort()


async def exchange(port: int, attack: Attack) -> Answer | None:
    """None: the connection was closed without an answer."""
    connection = await Connection.opened(port)
    try:
        # Who sends too much is not listened to any longer; the answer may stand there.
        with suppress(OSError):
            await connection.send(attack.sent)
            if not attack.whole:
                connection.end()
        return await connection.answer()
    except (ConnectionError, asyncio.IncompleteReadError):
        return None
    finally:
        connection.close()
