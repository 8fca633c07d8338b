"""uvicorn's WebSocket protocol with bounds on frames, which also writes frames directly.

Few frames are handled in one turn of the event loop, none while the client does not read, and a
client that sends too many is closed with 1008.

Writing directly is an optimisation, for messages that thousands of subscribers get alike. Where it
is not possible, messages are sent through ASGI, which copies and queues each of them again.
"""

import asyncio
import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Protocol

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request

from app.edge.connection_bounds import (
    CLOSING_SECONDS,
    DISCARDED_BYTES,
    STALLED_SECONDS,
    ConnectionBounds,
    WriteWatch,
)
from app.graphql.frames import FrameCutter
from sync.intake.problems import RETRY_AFTER_SECONDS

EXTENSION = "likeperson.frames"
"""The key of the `FrameWriter` among the extensions of an ASGI scope."""
FRAMES_PER_TURN = 16
FRAMES_PER_SECOND = 50
FRAMES_AT_ONCE = 500
FRAMES_UNIDENTIFIED = 20
"""The most frames of a socket without credentials."""
MAX_FRAGMENTS = 256
"""The most frames in which a message may arrive."""

_FIN_AND_TEXT = bytes([0x80 | Opcode.TEXT])
_MIDDLING = _FIN_AND_TEXT + b"\x7e"
_LARGE = _FIN_AND_TEXT + b"\x7f"


class FrameWriter(Protocol):
    def write_texts(self, messages: Sequence[tuple[bytes, ...]]) -> bool:
        """Writes text messages, each joined from its parts. Returns False and writes nothing while
        the client does not keep up; ASGI's `send` waits until it does."""

    def unsent(self, size: int) -> None:
        """Says how many bytes are queued for this connection."""

    def identified(self) -> None:
        """Says that the client has sent valid credentials."""

    def drop(self) -> None:
        """Closes the connection at once, without a closing handshake."""


class WebSocketProtocol(WebSocketsSansIOProtocol, asyncio.BufferedProtocol):
    """One WebSocket connection, from its handshake on."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        if not isinstance(server_state, ConnectionBounds):
            raise TypeError("WebSocketProtocol needs a server with ConnectionBounds.")
        self._bounds = server_state
        # They log the addresses of clients, and at DEBUG what is sent, with tokens.
        self.logger = self.conn.logger = logging.getLogger("uvicorn.websockets")
        self.conn.debug = False
        self._incoming = FrameCutter()
        self._turn: asyncio.Handle | None = None
        self._frames_free_at = 0.0
        self._frames_left: int | None = FRAMES_UNIDENTIFIED
        self._extensions: dict[str, Any] = {}
        self._failed = False
        self._discarded = 0
        self._unsent_bytes = 0

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._writes = WriteWatch(self.transport)
        self._bounds.add(self)
        self._bounds.unidentified(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._bounds.remove(self)
        if self._turn is not None:
            self._turn.cancel()
        # Breaks circles of references that only the garbage collector would find, and late.
        self.conn.parser.close()
        del self.conn.parser
        self._extensions.clear()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._bounds.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self._bounds.buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        if self._failed:
            self._discarded += len(data)
            if self._discarded > DISCARDED_BYTES:
                self._pause_reading()
            return
        if not self.handshake_initiated:
            super().data_received(data)
            if self.conn.handshake_exc is not None and not self.handshake_initiated:
                self._reject(HTTPStatus.BAD_REQUEST, "Not a valid WebSocket handshake.\n")
            return
        self._incoming.add(data)
        self._continue()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._continue()
        self._report_held()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._report_held()

    # Called by uvicorn's protocol.

    def handle_connect(self, event: Request) -> None:
        if not self._bounds.stay(self):
            self._reject(HTTPStatus.SERVICE_UNAVAILABLE, "Too many connections.\n")
            return
        super().handle_connect(event)
        # There is no scope when the handshake failed. Extensions would change the bytes of a frame.
        if not self.close_sent and not self.conn.extensions:
            self._extensions = {EXTENSION: self, **(self.scope["extensions"] or {})}
            self.scope["extensions"] = self._extensions

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= MAX_FRAGMENTS:
            self._fail(CloseCode.POLICY_VIOLATION, f"More than {MAX_FRAGMENTS} frames in a message")
            return
        super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                # uvicorn would also write a stack trace into the log.
                self.frames = []
                self._fail(CloseCode.INVALID_DATA, "A text message must be UTF-8")
                return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """Ends the connection with the close frame that the parser, or `_fail`, has made."""
        close = self.conn.close_sent
        self._failed = True
        self.frames = []
        self._incoming = FrameCutter()
        code, reason = (close.code, close.reason) if close else (CloseCode.ABNORMAL_CLOSURE, "")
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if not self.transport.is_closing():
            # Whoever is still sending would lose the close frame if it were closed at once.
            self.transport.write_eof()
            self._resume_reading()
        self._cut_off_soon()

    # Called by the application.

    async def receive(self) -> ASGIReceiveEvent:
        message = await self.queue.get()
        self._continue()
        return message

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.accept":
            self._continue()
        elif message["type"] == "websocket.http.response.body" and self.close_sent:
            # uvicorn forgets this, and logs an error.
            self.handshake_complete = True
        elif message["type"] == "websocket.close" and self.close_timer is not None:
            self._cut_off_soon()

    def write_texts(self, messages: Sequence[tuple[bytes, ...]]) -> bool:
        if not self.writable.is_set():
            return False
        # A connection that is closing takes nothing more, and nobody needs to wait for it.
        if not (self.close_sent or self.disconnected or self.transport.is_closing()):
            frames: list[bytes] = []
            for parts in messages:
                payload = b"".join(parts)
                frames += (_head(len(payload)), payload)
            self.transport.write(b"".join(frames))
        return True

    def unsent(self, size: int) -> None:
        self._unsent_bytes = size
        self._report_held()

    def identified(self) -> None:
        self._frames_left = None
        self._bounds.identified(self)

    # Called by the bounds.

    def check(self, now: float) -> None:
        if self.transport.is_closing() or not self.writable.is_set():
            seconds = CLOSING_SECONDS if self.transport.is_closing() else STALLED_SECONDS
            if self._writes.stalled(now, seconds):
                self.drop()

    def drop(self) -> None:
        self.transport.abort()

    def _continue(self) -> None:
        if self._turn is None:
            self._handle_frames()

    def _handle_frames(self) -> None:
        self._turn = None
        handled = 0
        while self._can_handle() and (frame := self._incoming.take()):
            handled += 1
            if self._is_too_fast():
                self._fail(CloseCode.POLICY_VIOLATION, "Too many frames")
                return
            super().data_received(frame)
            if handled == FRAMES_PER_TURN:
                self._turn = self.loop.call_soon(self._handle_frames)
                break
        self._report_held()
        if self._turn is None and self._can_handle():
            self._resume_reading()
        else:
            self._pause_reading()

    def _can_handle(self) -> bool:
        """Returns whether the last message was taken, and the answers to frames are read."""
        return (
            self.handshake_complete
            and (self.queue.empty() or self.close_sent)
            and self.writable.is_set()
            and not self._failed
        )

    def _is_too_fast(self) -> bool:
        if self._frames_left is not None:
            self._frames_left -= 1
            if self._frames_left < 0:
                return True
        now = self.loop.time()
        self._frames_free_at = max(self._frames_free_at, now) + 1 / FRAMES_PER_SECOND
        return self._frames_free_at - now > FRAMES_AT_ONCE / FRAMES_PER_SECOND

    def _fail(self, code: CloseCode, reason: str) -> None:
        self.conn.fail(code, reason)
        self.handle_parser_exception()

    def _reject(self, status: HTTPStatus, text: str) -> None:
        """Answers the handshake with an error."""
        self.handshake_initiated = self.handshake_complete = self.close_sent = True
        response = self.conn.reject(status, text)
        if status is HTTPStatus.SERVICE_UNAVAILABLE:
            response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        self.transport.write(response.serialize())
        self.transport.close()

    def _cut_off_soon(self) -> None:
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(CLOSING_SECONDS, self.drop)

    def _pause_reading(self) -> None:
        if not self.read_paused and not self.transport.is_closing():
            self.read_paused = True
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        if self.read_paused and not self.transport.is_closing():
            self.read_paused = False
            self.transport.resume_reading()

    def _report_held(self) -> None:
        held = len(self._incoming) + self._incoming.unfinished + (self.conn.current_size or 0)
        held += self._unsent_bytes
        if not self.writable.is_set():
            held += self.transport.get_write_buffer_size()
        self._bounds.hold(self, held)


def _head(size: int) -> bytes:
    """Returns the header of an unmasked frame that holds a whole text message (RFC 6455, 5.2)."""
    if size < 126:
        return _FIN_AND_TEXT + bytes([size])
    if size < 2**16:
        return _MIDDLING + size.to_bytes(2, "big")
    return _LARGE + size.to_bytes(8, "big")
