"""The outgoing messages of one connection, sent in order."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

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
    ) -> None:
        self._send = send
        self._write = write
        self._waiting: deque[tuple[Parts, Callable[[], Any] | None]] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._closed = False

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
            _, sent = self._waiting.pop()
            if sent is not None:
                sent()
        return discarded

    def abandon(self) -> None:
        """Drops everything, stops sending and takes no more."""
        self._closed = True
        self._waiting.clear()
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
                if sent is not None:
                    sent()
        except (OSError, RuntimeError):
            # The client has disconnected, which the reading side notices as well.
            self._closed = True
            self._waiting.clear()
        finally:
            self._pump = None
