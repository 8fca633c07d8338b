"""Bounds the bodies of requests: how long they take to arrive, and how much of them is held."""

import asyncio
from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.edge.rates import network_of
from sync.errors import OverloadedError

MAX_BYTES = 48 * 1024 * 1024
"""The most bytes of unfinished bodies of all requests."""
MAX_BYTES_PER_ADDRESS = 16 * 1024 * 1024


class BodyTooSlowError(TimeoutError):
    """The body of a request was not complete in time. It is answered with 408."""


class _Body:
    """A body that is arriving."""

    def __init__(self, address: str, now: float) -> None:
        self.address = address
        self.began = now
        self.size = 0
        self.is_dropped = False
        self.waiting: asyncio.Timeout | None = None

    def speed(self, now: float) -> float:
        return self.size / (now - self.began + 0.001)

    def drop(self) -> None:
        self.is_dropped = True
        if self.waiting is not None:
            self.waiting.reschedule(0)


class RequestBodies:
    """Limits the time and the memory of bodies, for whichever application reads them.

    Raises BodyTooSlowError from `receive` when a body is not complete after `seconds`. When too
    much is held, by one address or in total, the slowest bodies are given up with OverloadedError.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds
        self._by_address: dict[str, set[_Body]] = {}
        self._bytes: Counter[str] = Counter()
        self._total = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        address = network_of(scope["client"][0]) if scope.get("client") else ""
        body = _Body(address, asyncio.get_running_loop().time())
        complete = False

        async def receive_in_time() -> Message:
            nonlocal complete
            if complete:
                # All that can still come is that the client has disconnected.
                return await receive()
            message = await self._next(body, receive)
            complete = not message.get("more_body", False)
            if complete:
                self._remove(body)
            else:
                self._add(body, len(message["body"]))
            return message

        try:
            await self._app(scope, receive_in_time, send)
        finally:
            self._remove(body)

    async def _next(self, body: _Body, receive: Receive) -> Message:
        if body.is_dropped:
            raise OverloadedError
        try:
            async with asyncio.timeout_at(body.began + self._seconds) as body.waiting:
                message = await receive()
        except TimeoutError as error:
            if not body.is_dropped:
                raise BodyTooSlowError from error
            raise OverloadedError from error
        finally:
            body.waiting = None
        return message

    def _add(self, body: _Body, size: int) -> None:
        self._by_address.setdefault(body.address, set()).add(body)
        body.size += size
        self._bytes[body.address] += size
        self._total += size
        if self._bytes[body.address] > MAX_BYTES_PER_ADDRESS:
            self._drop_slowest(self._by_address[body.address], MAX_BYTES_PER_ADDRESS)
        if self._total > MAX_BYTES:
            self._drop_slowest(set().union(*self._by_address.values()), MAX_BYTES)

    def _remove(self, body: _Body) -> None:
        """Does nothing for a body that is not held."""
        bodies = self._by_address.get(body.address, set())
        if body not in bodies:
            return
        bodies.remove(body)
        self._total -= body.size
        self._bytes[body.address] -= body.size
        if not bodies:
            del self._by_address[body.address], self._bytes[body.address]

    def _drop_slowest(self, bodies: set[_Body], most: int) -> None:
        """Gives up bodies until a quarter of what may be held is free."""
        now = asyncio.get_running_loop().time()
        held = sum(body.size for body in bodies)
        for body in sorted(bodies, key=lambda body: body.speed(now)):
            if held <= most * 3 // 4:
                break
            held -= body.size
            body.drop()
            self._remove(body)
