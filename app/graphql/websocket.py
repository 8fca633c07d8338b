"""WebSockets with the subprotocol graphql-transport-ws, the only one that is offered.

https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from enum import IntEnum
from functools import partial
from typing import Any

import msgspec
from starlette.types import Scope
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.graphql.answers import RequestErrors, answers, request_errors
from app.graphql.outbox import Outbox
from app.graphql.websocket_protocol import EXTENSION, FrameWriter
from db.errors import DatabaseUnavailableError
from resolvers.live.subscribers import Rendered
from schema.context import Context
from schema.engine.executor import Executor
from schema.engine.requests import GraphQLRequest, read_json, read_request
from schema.errors import ApiError, RateLimitedError
from schema.streaming import failure

PROTOCOL = "graphql-transport-ws"
MAX_OPERATIONS = 100
MAX_WAITING = 1000
"""The most messages of one subscription that are queued for a client."""
MAX_ID = 256
MAX_REASON = 123
"""The most bytes of a reason in a close frame (RFC 6455, 5.5)."""
CLOSING_SECONDS = 1.0
LATER_SECONDS = 2.0
"""How long a socket stands that is to try again later."""

Connect = Callable[["Socket", dict[str, Any]], Awaitable[Context]]
"""Returns the context of a socket, by the payload of `connection_init`.

Raises ForbiddenConnectionError or ConnectLaterError.
"""
Count = Callable[[Context, Scope], None]
"""Counts an operation. Raises ApiError when there are too many."""


class ForbiddenConnectionError(Exception):
    """The credentials are not accepted; the message is for the client."""


class ConnectLaterError(Exception):
    """The credentials cannot be verified now; the client should try again later."""


class TooManyOperationsError(RateLimitedError):
    def __init__(self) -> None:
        super().__init__(
            f"This socket has {MAX_OPERATIONS} operations, which is the limit. "
            "Complete one of them, or open another socket."
        )


class Close(IntEnum):
    POLICY_VIOLATION = 1008
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_REQUEST = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    PROTOCOL_NOT_ACCEPTABLE = 4406
    INIT_TIMEOUT = 4408
    ALREADY_EXISTS = 4409
    TOO_MANY_INITS = 4429


class ClientMessage(msgspec.Struct):
    type: str
    id: str | None = None
    payload: Any = None


class OperationPayload(msgspec.Struct):
    """The payload of `subscribe`. Anything else breaks the protocol and closes the socket."""

    query: str | None = None
    variables: dict[str, Any] | None = None
    operationName: str | None = None  # noqa: N815  (its name on the wire)
    extensions: dict[str, Any] | None = None


class Socket:
    """One WebSocket from its handshake on, and the operations that run over it."""

    def __init__(
        self,
        websocket: WebSocket,
        executor: Executor[Context],
        connect: Connect,
        count: Count,
        init_seconds: float,
    ) -> None:
        self.scope = websocket.scope
        self._websocket = websocket
        self._executor = executor
        self._connect = connect
        self._count = count
        self._init_seconds = init_seconds
        self._initialised = False
        self._has_spoken = False
        self._context: Context | None = None
        self._operations: dict[str, SocketOperation] = {}
        self._closing: asyncio.Task[None] | None = None
        self._frames: FrameWriter | None = websocket.scope.get("extensions", {}).get(EXTENSION)
        send = partial(_send, websocket)
        self.outbox = (
            Outbox(send)
            if self._frames is None
            else Outbox(send, self._frames.write_texts, self._frames.unsent)
        )

    async def serve(self) -> None:
        """Returns when the socket is closed, by either side."""
        if PROTOCOL not in self._websocket.scope["subprotocols"]:
            await self._websocket.accept()
            await self._websocket.close(Close.PROTOCOL_NOT_ACCEPTABLE, "Subprotocol not acceptable")
            return
        await self._websocket.accept(PROTOCOL)
        loop = asyncio.get_running_loop()
        init_timer = loop.call_later(self._init_seconds, self._close_unidentified)
        try:
            while (event := await self._websocket.receive())["type"] == "websocket.receive":
                if self._closing is None:
                    await self._take(event.get("text"))
        finally:
            init_timer.cancel()
            await self._end()

    def close(self, code: Close, reason: str) -> None:
        """Ends all operations and starts the closing handshake. Returns at once."""
        if self._closing is None:
            self._cancel_operations()
            self._closing = asyncio.create_task(self._close_handshake(code, _fitting(reason)))

    def refuse(self, error: ApiError) -> None:
        """Closes the socket because its viewer may no longer use it."""
        self.close(Close.FORBIDDEN, error.code)

    def close_for_restart(self) -> None:
        self.close(Close.SERVICE_RESTART, "Service restart")

    def send(self, operation: "SocketOperation", parts: tuple[bytes, ...]) -> None:
        if self._closing is None and not self.outbox.put(parts, operation.sent_one):
            operation.waiting += 1

    def forget(self, operation: "SocketOperation") -> None:
        """Removes an operation, so that its id can be used again."""
        if self._operations.get(operation.id) is operation:
            del self._operations[operation.id]

    async def run(
        self, operation: "SocketOperation", request: GraphQLRequest, context: Context
    ) -> None:
        async with aclosing(answers(self._executor, request, context)) as results:
            async for result in results:
                if isinstance(result, RequestErrors):
                    operation.fail(result.errors)
                    return
                operation.send_next(result)
                await self.outbox.drained()
        operation.results_ended()

    def _close_unidentified(self) -> None:
        if not self._initialised:
            self.close(Close.INIT_TIMEOUT, "Connection initialisation timeout")
        elif self._context is not None and self._context.credentials is None:
            text = (
                f"Unauthorized: without a token, sockets are closed after {self._init_seconds:g} s"
            )
            self.close(Close.UNAUTHORIZED, text)

    async def _take(self, text: str | None) -> None:
        if text is None:
            self.close(Close.BAD_REQUEST, "Invalid message: send JSON as text, not as binary")
            return
        try:
            message = msgspec.convert(read_json(text), ClientMessage)
        except msgspec.ValidationError as error:
            self.close(Close.BAD_REQUEST, f"Invalid message: {error}")
            return
        except (ValueError, RecursionError):
            self.close(Close.BAD_REQUEST, "Invalid message: not JSON")
            return
        if message.type == "connection_init":
            await self._initialise(message)
        elif not self._initialised and not self._may_speak():
            self.close(Close.POLICY_VIOLATION, "Send `connection_init` first")
        elif message.type == "ping":
            self.outbox.put((b'{"type":"pong"}',))
            await self.outbox.drained()
        elif message.type == "subscribe":
            self._subscribe(message)
        elif message.type == "complete" and message.id is not None:
            if (operation := self._operations.pop(message.id, None)) is not None:
                operation.cancel()
        elif message.type == "complete":
            self.close(Close.BAD_REQUEST, "Invalid message: `complete` needs an `id`")
        elif message.type != "pong":
            text = f"Invalid message: {PROTOCOL} has no `{message.type}` for clients to send"
            self.close(Close.BAD_REQUEST, text)

    def _may_speak(self) -> bool:
        """Returns True once: one message may come before `connection_init`."""
        spoken, self._has_spoken = self._has_spoken, True
        return not spoken

    async def _initialise(self, message: ClientMessage) -> None:
        if self._initialised:
            self.close(Close.TOO_MANY_INITS, "Too many initialisation requests")
            return
        self._initialised = True
        try:
            payload = msgspec.convert(message.payload, dict[str, Any] | None)
        except msgspec.ValidationError as error:
            self.close(Close.BAD_REQUEST, f"Invalid connection_init payload: {error}")
            return
        try:
            self._context = await self._connect(self, payload or {})
        except ForbiddenConnectionError as error:
            self.close(Close.FORBIDDEN, f"Forbidden: {error}")
            return
        except (ConnectLaterError, DatabaseUnavailableError):
            # Clients that connect again at once would add to whatever is the matter.
            await asyncio.sleep(LATER_SECONDS)
            self.close(Close.TRY_AGAIN_LATER, "Try again later")
            return
        if self._frames is not None and self._context.credentials is not None:
            self._frames.identified()
        self.outbox.put((b'{"type":"connection_ack"}',))

    def _subscribe(self, message: ClientMessage) -> None:
        if self._context is None:
            self.close(Close.UNAUTHORIZED, "Unauthorized: wait for `connection_ack` first")
            return
        try:
            msgspec.convert(message.payload, OperationPayload)
        except msgspec.ValidationError as error:
            self.close(Close.BAD_REQUEST, f"Invalid subscribe payload: {error}")
            return
        if not message.id or len(message.id) > MAX_ID or not _is_encodable(message.id):
            text = f"Invalid subscribe id: it must be text of 1 to {MAX_ID} characters"
            self.close(Close.BAD_REQUEST, text)
            return
        if message.id in self._operations:
            self.close(Close.ALREADY_EXISTS, f"Subscriber for {message.id} already exists")
            return
        context = self._context
        operation = SocketOperation(self, message.id, context.request_id)
        try:
            if len(self._operations) >= MAX_OPERATIONS:
                raise TooManyOperationsError
            self._count(context, self.scope)
            request = read_request(message.payload)
        except ApiError as error:
            operation.fail(request_errors((error,), context.request_id).errors)
            return
        self._operations[message.id] = operation
        operation.start(partial(self.run, operation, request, replace(context, sink=operation)))

    def _cancel_operations(self) -> None:
        for operation in self._operations.values():
            operation.cancel()
        self._operations.clear()

    async def _close_handshake(self, code: Close, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                await self._websocket.close(code, reason)
        except TimeoutError:
            # The client does not read, so the closing handshake cannot end.
            if self._frames is not None:
                self._frames.drop()
        except (WebSocketDisconnect, RuntimeError):
            """The client has disconnected first."""

    async def _end(self) -> None:
        running = [o.task for o in self._operations.values() if o.task is not None]
        self._cancel_operations()
        await asyncio.gather(*running, return_exceptions=True)
        await self.outbox.close()
        if self._closing is not None:
            await self._closing


class SocketOperation:
    """One operation on a socket, and the sink of its subscription if it is one."""

    def __init__(self, socket: Socket, id: str, request_id: str) -> None:
        self.id = id
        self._request_id = request_id
        self.waiting = 0
        self.task: asyncio.Task[None] | None = None
        self._socket = socket
        self._outbox = socket.outbox
        self._name = msgspec.json.encode(id)
        self._next = b'{"type":"next","id":' + self._name + b',"payload":'
        self._leave: Callable[[], None] | None = None
        self._over = False

    def start(self, work: Callable[[], Awaitable[None]]) -> None:
        self.task = asyncio.ensure_future(self._guarded(work))

    def cancel(self) -> None:
        """Stops the operation; nothing more of it is sent."""
        self._over = True
        if self.task is not None:
            self.task.cancel()
        if self._leave is not None:
            self._leave()

    def send_next(self, payload: bytes) -> None:
        if not self._over:
            self._socket.send(self, (self._next, payload, b"}"))

    def results_ended(self) -> None:
        if self._leave is None:
            self._end(b'{"type":"complete","id":' + self._name + b"}")

    def sent_one(self) -> None:
        self.waiting -= 1

    def starts_at(self, cursor: str) -> None:
        """Does nothing: clients that want the cursor select it in their subscription."""

    def opened(self, leave: Callable[[], None]) -> None:
        self._leave = leave
        if self._over:
            leave()

    def next(self, messages: Sequence[Rendered]) -> bool:
        # Most messages are sent this way, many thousands a second.
        if not self._over and self._outbox.put_now(
            [(self._next, message.payload, b"}") for message in messages]
        ):
            return True
        if self.waiting >= MAX_WAITING or self._outbox.full:
            return False
        for message in messages:
            self.send_next(message.payload)
        return True

    def finish(self, message: Rendered) -> None:
        self.send_next(message.payload)
        self._end(b'{"type":"complete","id":' + self._name + b"}")

    def fail(self, errors: bytes) -> None:
        self._end(b'{"type":"error","id":' + self._name + b',"payload":' + errors + b"}")

    def _end(self, message: bytes) -> None:
        if not self._over:
            self._over = True
            # Before sending, so that a client that reads the message can use the id again.
            self._socket.forget(self)
            self._socket.send(self, (message,))

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            # `work` is not called when the task is cancelled before it starts.
            await work()
        except Exception as error:  # the client must not be left waiting, whatever happened
            self.fail(failure(error, self._request_id))


async def _send(websocket: WebSocket, text: bytes) -> None:
    with suppress(WebSocketDisconnect):
        await websocket.send({"type": "websocket.send", "text": text.decode()})


def _fitting(reason: str) -> str:
    return reason.encode("utf-8", "replace")[:MAX_REASON].decode("utf-8", "ignore")


def _is_encodable(text: str) -> bool:
    """Returns False for text with a lone surrogate, which could not be sent back."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
