"""What goes out over one connection, in order, whether or not it can go at once."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

Parts = tuple[bytes, ...]


class Outbox:
    """`write` sends at once and says whether it could; `send` waits until it can."""

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
        """Whether all went at once; if not, none is taken."""
        return not self._waiting and self._write is not None and self._write(messages)

    def put(self, parts: Parts, gone: Callable[[], Any] | None = None) -> bool:
        """Whether it went at once; if not, `gone` is called when it has."""
        if self.put_now([parts]):
            return True
        if not self._closed:
            self._waiting.append((parts, gone))
            if self._pump is None:
                self._pump = asyncio.create_task(self._keep_sending())
        return False

    async def emptied(self) -> bool:
        """Returns when everything has gone, or nothing more will: whether the first is the case."""
        if self._pump is not None:
            await asyncio.gather(asyncio.shield(self._pump), return_exceptions=True)
        return not self._closed

    def forget(self) -> bool:
        """What waits and is not going out already; something else is to be said instead.

        Whether there was anything.
        """
        forgotten = len(self._waiting) > 1
        while len(self._waiting) > 1:
            _, gone = self._waiting.pop()
            if gone is not None:
                gone()
        return forgotten

    def give_up(self) -> None:
        """What has not gone yet never will, and nobody waits for it any longer."""
        self._closed = True
        self._waiting.clear()
        if self._pump is not None:
            self._pump.cancel()

    async def close(self) -> None:
        """The same, once that is done."""
        self.give_up()
        if self._pump is not None:
            with suppress(asyncio.CancelledError):
                await self._pump

    async def _keep_sending(self) -> None:
        try:
            while self._waiting:
                parts, gone = self._waiting[0]
                await self._send(b"".join(parts))
                # Closed meanwhile, there is nothing left.
                if self._waiting:
                    self._waiting.popleft()
                if gone is not None:
                    gone()
        except (OSError, RuntimeError):
            # The other side is gone, which its reader notices as well.
            self._closed = True
            self._waiting.clear()
        finally:
            self._pump = None
