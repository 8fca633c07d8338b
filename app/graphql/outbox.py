"""The outgoing messages of one connection, sent in order."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

MAX_QUEUED_BYTES = 1024 * 1024
"""How much is queued for one connection before its subscriptions end as too slow."""

Parts = tuple[bytes, ...]


class Outbox:
    """Sends messages in order.

    `send` waits until the client can take more. `write` is an optimisation: it sends at once, or
    returns False, and then `send` is used.
    """

    def __init__(
        self,
        send: Callable[[bytes], Awaitable[None]],
        write: Callable[[Sequence[Parts]], bool] | None = None,
        report: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Calls `report` with the number of queued bytes whenever it changes."""
        self._send = send
        self._write = write
        self._report = report
        self._bytes = 0
        self._waiting: deque[tuple[Parts, Callable[[], Any] | None]] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def full(self) -> bool:
        return self._bytes >= MAX_QUEUED_BYTES

    def put_now(self, messages: Sequence[Parts]) -> bool:
        """Sends all at once and returns True, or sends none and returns False."""
        return not self._waiting and self._write is not None and self._write(messages)

    def put(self, parts: Parts, sent: Callable[[], Any] | None = None) -> bool:
        """Sends or queues a message. Returns whether it was sent at once; if not, `sent` is called
        once it is."""
        if self.put_now([parts]):
            return True
        if not self._closed:
            self._waiting.append((parts, sent))
            self._count(_size(parts))
            if self._pump is None:
                self._pump = asyncio.create_task(self._keep_sending())
        return False

    async def drained(self) -> bool:
        """Waits until nothing is queued. Returns False when the rest will never be sent."""
        if self._pump is not None:
            await asyncio.gather(asyncio.shield(self._pump), return_exceptions=True)
        return not self._closed

    def discard(self) -> bool:
        """Drops what is queued and not being sent already. Returns whether there was anything."""
        discarded = len(self._waiting) > 1
        while len(self._waiting) > 1:
            parts, sent = self._waiting.pop()
            self._count(-_size(parts))
            if sent is not None:
                sent()
        return discarded

    def abandon(self) -> None:
        """Drops everything, stops sending and takes no more."""
        self._close()
        if self._pump is not None:
            self._pump.cancel()

    async def close(self) -> None:
        """Abandons the outbox and waits until sending has stopped."""
        self.abandon()
        if self._pump is not None:
            with suppress(asyncio.CancelledError):
                await self._pump

    async def _keep_sending(self) -> None:
        try:
            while self._waiting:
                parts, sent = self._waiting[0]
                await self._send(b"".join(parts))
                # When it was closed meanwhile, nothing is left.
                if self._waiting:
                    self._waiting.popleft()
                    self._count(-_size(parts))
                if sent is not None:
                    sent()
        except (OSError, RuntimeError):
            # The client has disconnected, which the reading side notices as well.
            self._close()
        finally:
            self._pump = None

    def _close(self) -> None:
        self._closed = True
        self._waiting.clear()
        self._count(-self._bytes)

    def _count(self, size: int) -> None:
        self._bytes += size
        self._report(self._bytes)


def _size(parts: Parts) -> int:
    return sum(map(len, parts))
