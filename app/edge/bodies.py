"""Bounds the bodies of requests: how long they take to arrive, and how much of them is held."""

import asyncio
from collections import Counter

from starlette.types import Message, Receive, Scope

from app.edge.connection_bounds import EXTENSION
from app.edge.rates import network_of
from sync.errors import OverloadedError

MAX_BYTES = 48 * 1024 * 1024
"""The most bytes of unfinished bodies of all requests."""
MAX_BYTES_PER_ADDRESS = 16 * 1024 * 1024


class BodyTooSlowError(TimeoutError):
    """The body of a request was not complete in time. It is answered with 408."""


class Body:
    """A body that is arriving."""

    def __init__(
        self, bodies: "RequestBodies", address: str, began: float, receive: Receive
    ) -> None:
        self.address = address
        self.began = began
        self.size = 0
        self.is_dropped = False
        self._bodies = bodies
        self._receive = receive
        self._is_complete = False
        self._waiting: asyncio.Timeout | None = None

    def speed(self, now: float) -> float:
        return self.size / (now - self.began + 0.001)

    def drop(self) -> None:
        self.is_dropped = True
        if self._waiting is not None:
            self._waiting.reschedule(0)

    async def receive(self) -> Message:
        """Returns the next message of the request. Raises BodyTooSlowError or OverloadedError."""
        if self._is_complete:
            # All that can still come is that the client has disconnected.
            return await self._receive()
        message = await self._next()
        self._is_complete = not message.get("more_body", False)
        if self._is_complete:
            self._bodies.remove(self)
        else:
            self._bodies.add(self, len(message["body"]))
        return message

    async def _next(self) -> Message:
        if self.is_dropped:
            raise OverloadedError
        try:
            async with asyncio.timeout_at(self.began + self._bodies.seconds) as self._waiting:
                return await self._receive()
        except TimeoutError as error:
            if not self.is_dropped:
                raise BodyTooSlowError from error
            raise OverloadedError from error
        finally:
            self._waiting = None


class RequestBodies:
    """Limits the time and the memory of bodies, for whichever application reads them.

    When a body is not complete after `seconds`, receiving it raises BodyTooSlowError. When too much
    is held, by one address or in total, the slowest bodies are given up with OverloadedError.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._by_address: dict[str, set[Body]] = {}
        self._bytes: Counter[str] = Counter()
        self._total = 0

    @staticmethod
    def are_here(scope: Scope) -> bool:
        """Returns True if the server holds the whole body of a request already, as it does with
        most, so that nothing has to be bounded: an optimisation."""
        connection = scope.get("extensions", {}).get(EXTENSION)
        return bool(connection is not None and connection.has_whole_body)

    def arriving(self, scope: Scope, receive: Receive) -> Body:
        """Returns the body of a request. Whoever asks for it removes it in the end."""
        address = network_of(scope["client"][0]) if scope.get("client") else ""
        return Body(self, address, asyncio.get_running_loop().time(), receive)

    def add(self, body: Body, size: int) -> None:
        self._by_address.setdefault(body.address, set()).add(body)
        body.size += size
        self._bytes[body.address] += size
        self._total += size
        if self._bytes[body.address] > MAX_BYTES_PER_ADDRESS:
            self._drop_slowest(self._by_address[body.address], MAX_BYTES_PER_ADDRESS)
        if self._total > MAX_BYTES:
            self._drop_slowest(set().union(*self._by_address.values()), MAX_BYTES)

    def remove(self, body: Body) -> None:
        """Does nothing for a body that is not held."""
        bodies = self._by_address.get(body.address, set())
        if body not in bodies:
            return
        bodies.remove(body)
        self._total -= body.size
        self._bytes[body.address] -= body.size
        if not bodies:
            del self._by_address[body.address], self._bytes[body.address]

    def _drop_slowest(self, bodies: set[Body], most: int) -> None:
        """Gives up bodies until a quarter of what may be held is free."""
        now = asyncio.get_running_loop().time()
        held = sum(body.size for body in bodies)
        for body in sorted(bodies, key=lambda body: body.speed(now)):
            if held <= most * 3 // 4:
                break
            held -= body.size
            body.drop()
            self.remove(body)
