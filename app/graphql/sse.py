"""Server-sent events: one operation per request.

https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md, distinct connections mode
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import partial

from starlette.types import Message, Receive, Send

from app.graphql.answers import RequestErrors, Results
from app.graphql.outbox import Outbox
from resolvers.live.subscribers import Rendered
from schema.errors import ApiError
from schema.streaming import failure

EVENT_STREAM = "text/event-stream"
MAX_WAITING = 1000
"""The most events that are queued for a client."""
CLOSING_SECONDS = 1.0

_COMPLETE = b"event: complete\ndata:\n\n"
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # Otherwise proxies would buffer the events.
    (b"x-accel-buffering", b"no"),
]


class EventStream:
    """The answer to one request, which is the sink of its subscription if it is one."""

    def __init__(
        self, send: Send, request_id: str, report: Callable[[int], None] = lambda _: None
    ) -> None:
        """Calls `report` with the number of queued bytes whenever it changes."""
        self._send = send
        self._request_id = request_id
        self._outbox = Outbox(partial(_send_body, send), report=report)
        self._waiting = 0
        self._cursor: str | None = None
        self._leave: Callable[[], None] | None = None
        self._over = asyncio.Event()

    async def serve(self, receive: Receive, results: Results) -> None:
        """Returns when everything was sent, or the client has disconnected."""
        start: Message = {"type": "http.response.start", "status": 200, "headers": _HEADERS}
        await self._send(start)
        work = asyncio.create_task(self._answer(results))
        reading = asyncio.create_task(self._wait_for_disconnect(receive))
        told = False
        try:
            await self._over.wait()
            told = await self._outbox.drained()
        finally:
            work.cancel()
            reading.cancel()
            if self._leave is not None:
                self._leave()
            await asyncio.gather(work, reading, return_exceptions=True)
            await self._outbox.close()
        # Without this, the server closes the connection.
        if told:
            await self._send({"type": "http.response.body", "body": b""})

    def refuse(self, error: ApiError) -> None:
        """Ends the stream with this error, in place of the queued events. The client has
        CLOSING_SECONDS to read it."""
        discarded = self._outbox.discard()
        # When the stream had ended before, its last event may just have been discarded.
        if discarded or not self._over.is_set():
            self._outbox.put((_failure(failure(error, self._request_id)) + _COMPLETE,))
        self._over.set()
        asyncio.get_running_loop().call_later(CLOSING_SECONDS, self._outbox.abandon)

    def close_for_restart(self) -> None:
        """Ends the stream without a `complete` event, so that the client connects again."""
        self._over.set()

    def starts_at(self, cursor: str) -> None:
        self._cursor = cursor

    def opened(self, leave: Callable[[], None]) -> None:
        self._leave = leave

    def next(self, messages: Sequence[Rendered]) -> bool:
        if self._waiting >= MAX_WAITING or self._outbox.full:
            return False
        self._put(b"".join(_event(message.payload, message.cursor) for message in messages))
        return True

    def finish(self, message: Rendered) -> None:
        self._complete(_event(message.payload, message.cursor))

    def fail(self, errors: bytes) -> None:
        self._complete(_failure(errors))

    async def _answer(self, results: Results) -> None:
        try:
            async with aclosing(results) as answers:
                async for result in answers:
                    if isinstance(result, RequestErrors):
                        self.fail(result.errors)
                        return
                    self._put(_event(result, self._cursor))
                    await self._outbox.drained()
        except Exception as error:  # the client must not be left waiting, whatever happened
            self.fail(failure(error, self._request_id))
        if self._leave is None:
            self._complete()

    async def _wait_for_disconnect(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._over.set()

    def _complete(self, last: bytes = b"") -> None:
        self._put(last + _COMPLETE)
        self._over.set()

    def _put(self, event: bytes) -> None:
        if not self._over.is_set():
            self._waiting += 1
            self._outbox.put((event,), self._sent_one)

    def _sent_one(self) -> None:
        self._waiting -= 1


async def _send_body(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


def _event(payload: bytes, cursor: str | None = None) -> bytes:
    name = b"" if cursor is None else b"id: " + cursor.encode() + b"\n"
    return name + b"event: next\ndata: " + payload + b"\n\n"


def _failure(errors: bytes) -> bytes:
    return _event(b'{"errors":' + errors + b"}")
