"""uvicorn's HTTP protocol with bounds on header sections, trailers and pipelined requests.

uvicorn and its parser take header sections of any size and at any speed. Here they are refused
while they arrive, and when a connection is lost all of its requests are told.
"""

import asyncio
from http import HTTPStatus
from typing import Any, Literal, NoReturn

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from app.edge.connection_bounds import (
    CLOSING_SECONDS,
    DISCARDED_BYTES,
    EXTENSION,
    READ_BYTES,
    STALLED_SECONDS,
    ConnectionBounds,
    WriteWatch,
)
from sync.intake.problems import problem

MAX_SECTION_BYTES = 64 * 1024
"""The most bytes of a header section with its request line, and of trailers."""
MAX_FIELDS = 100
SECTION_SECONDS = 10.0
"""How long a header section may take to arrive, and a new connection to send one."""
MAX_PIPELINED = 32
"""The most requests that may wait behind one that is being answered."""
MAX_CHUNKS = 4_096
"""The most pieces in which a body may arrive."""
MAX_WEBSOCKET_LINE = 8_000
"""The longest header of a WebSocket handshake; the library `websockets` takes a bit more."""
REST_SECONDS = 20.0
"""How long the rest of a request may take to arrive once it is answered."""
# What fields and requests take as Python objects, beside their own bytes.
_FIELD_BYTES = 150
_REQUEST_BYTES = 4 * 1024

_DETAILS = {
    HTTPStatus.BAD_REQUEST: "This is not a valid HTTP request.",
    HTTPStatus.REQUEST_TIMEOUT: f"The header section took more than {SECTION_SECONDS:.0f} s.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: f"The body has more than {MAX_CHUNKS} chunks.",
    HTTPStatus.TOO_MANY_REQUESTS: f"More than {MAX_PIPELINED} pipelined requests are waiting.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (
        f"The limits of a header section and of trailers are {MAX_SECTION_BYTES // 1024} KiB "
        f"and {MAX_FIELDS} fields."
    ),
}


class JoinedWrites:
    """A transport to which the head of an answer and the beginning of its body are one write.

    An optimisation: uvicorn writes them one after the other, and each would be a call of the
    operating system. A head that nothing follows in the same turn of the event loop is sent alone.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: bytes | None = None
        self._has_begun = False

    def write(self, data: bytes) -> None:
        if self._held is not None:
            held, self._held = self._held, None
            self._transport.writelines((held, data))
        elif self._has_begun:
            self._transport.write(data)
        else:
            self._has_begun = True
            self._held = data
            self._loop.call_soon(self.flush)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def flush(self) -> None:
        held, self._held = self._held, None
        if held is not None and not self._transport.is_closing():
            self._transport.write(held)

    def close(self) -> None:
        self.flush()
        self._transport.close()


class HttpProtocol(HttpToolsProtocol, asyncio.BufferedProtocol):
    """One HTTP connection. Headers that are too large or too slow end it with 431 or 408."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        if not isinstance(server_state, ConnectionBounds):
            raise TypeError("HttpProtocol needs a server with ConnectionBounds.")
        self._bounds = server_state
        self._answering: RequestResponseCycle | None = None
        self._joined: JoinedWrites | None = None
        self._section: Literal["headers", "body"] | None = None
        self._section_bytes = 0
        self._fields = 0
        self._chunks = 0
        self._unparsed_bytes = 0
        self._unsent_bytes = 0
        self._deadline: float | None = None
        self._refusal = HTTPStatus.BAD_REQUEST
        self._refused = False
        self._discarded = 0

    # Called by the transport.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._writes = WriteWatch(transport)
        self._deadline = self.loop.time() + SECTION_SECONDS
        self._bounds.add(self)
        self._bounds.waiting(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._bounds.remove(self)
        # uvicorn tells only the newest request, which may not even have begun.
        self._end_requests()
        self._let_go()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._bounds.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self._bounds.buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        if self._refused:
            self._discard(len(data))
            return
        self._unset_keepalive_if_required()
        try:
            self._parse(data)
        except httptools.HttpParserUpgrade:
            self._upgrade()
        except httptools.HttpParserError:
            self._refuse(self._refusal)
        else:
            if self._section is None and self._answering is None and self._deadline is None:
                # Nothing but line breaks, which a parser takes between requests.
                self._deadline = self.loop.time() + SECTION_SECONDS
            self._report_held()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._report_held()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._report_held()

    # Called by the parser.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._section = "headers"
        self._section_bytes = self._fields = self._chunks = 0
        self._deadline = self.loop.time() + SECTION_SECONDS

    def on_url(self, url: bytes) -> None:
        self._count_bytes(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        if self._fields > MAX_FIELDS:
            self._stop_parsing(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        self._count_bytes(len(name) + len(value) + len(b": \r\n"))
        # Trailers are only counted, since nothing reads them.
        if self._section == "headers":
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._section = "body"
        self._section_bytes = self._fields = self._unparsed_bytes = 0
        self._deadline = None
        if len(self.pipeline) >= MAX_PIPELINED:
            self._stop_parsing(HTTPStatus.TOO_MANY_REQUESTS)
        super().on_headers_complete()
        if self._bounds.draining:
            self.cycle.keep_alive = False
        self._bounds.waiting(self)
        if self.pipeline:
            # uvicorn stops reading here, and would not notice when the client disconnects.
            self.flow.resume_reading()

    def on_body(self, body: bytes) -> None:
        self._section_bytes = self._unparsed_bytes = 0
        self._chunks += 1
        if self._chunks > MAX_CHUNKS:
            self._stop_parsing(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._section = None
        self._section_bytes = self._fields = self._unparsed_bytes = 0
        self._deadline = None
        self._bounds.busy(self)
        super().on_message_complete()

    # Called by requests.

    @property
    def has_whole_body(self) -> bool:
        """True if nothing of the body of the request that is being answered is still to come."""
        return self._answering is not None and not self._answering.more_body

    def stay(self) -> bool:
        return self._bounds.stay(self)

    def unsent(self, size: int) -> None:
        self._unsent_bytes = size
        self._report_held()

    def on_response_complete(self) -> None:
        self._answering = None
        super().on_response_complete()
        if self._answering is None:
            self._bounds.waiting(self)
            if self._section == "body":
                self._deadline = self.loop.time() + REST_SECONDS
        self._report_held()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        extensions: dict[str, Any] = {EXTENSION: self}
        cycle.scope["extensions"] = extensions
        self._joined = JoinedWrites(self.transport, self.loop)
        cycle.transport = self._joined  # type: ignore[assignment]  # all that it uses of one
        super()._start_asgi_task(cycle, app)

    # Called by the bounds.

    def check(self, now: float) -> None:
        if self._deadline is not None and now >= self._deadline:
            self._expire()
        elif self.flow.write_paused or self.transport.is_closing():
            seconds = CLOSING_SECONDS if self._refused else STALLED_SECONDS
            if self._writes.stalled(now, seconds):
                self.drop()
        else:
            self._report_held()

    def drop(self) -> None:
        self._refused = True
        self._end_requests()
        self.transport.abort()

    def _parse(self, data: bytes) -> None:
        # An event loop may hand over more at once than the buffer holds.
        for start in range(0, len(data), READ_BYTES):
            self._parse_piece(data[start : start + READ_BYTES])

    def _parse_piece(self, data: bytes) -> None:
        self.parser.feed_data(data)
        if self._section is not None:
            # Unfinished fields, which the parser keeps, and extensions of chunks.
            self._unparsed_bytes += len(data)
            if self._section_bytes + self._unparsed_bytes > MAX_SECTION_BYTES + READ_BYTES:
                self._stop_parsing(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _count_bytes(self, size: int) -> None:
        self._unparsed_bytes = 0
        self._section_bytes += size
        if self._section_bytes > MAX_SECTION_BYTES:
            self._stop_parsing(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _stop_parsing(self, refusal: HTTPStatus) -> NoReturn:
        """Raises HttpParserError, also through the parser that called."""
        self._refusal = refusal
        raise httptools.HttpParserError(refusal.phrase)

    def _upgrade(self) -> None:
        if not self._should_upgrade():
            return
        if self._answering is not None:
            # The socket would be in the way of the answer, and the answer in that of the socket.
            self._refuse(HTTPStatus.BAD_REQUEST)
        elif any(len(name) + len(value) > MAX_WEBSOCKET_LINE for name, value in self.headers):
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        else:
            self.transport.pause_reading()
            self._bounds.queue_handshake(self, self._begin_websocket)

    def _begin_websocket(self) -> None:
        self._bounds.remove(self)
        self.transport.resume_reading()
        self.handle_websocket_upgrade()
        self._let_go()

    def _expire(self) -> None:
        if self._refused:
            self.drop()
        elif self._section == "headers":
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self._refused = True
            self.transport.close()
        self._deadline = None

    def _refuse(self, status: HTTPStatus) -> None:
        """Answers with this status if no other answer has begun, and closes the connection."""
        self._refused = True
        if self._joined is not None:
            self._joined.flush()
        running = self._answering
        is_of_running = self._section == "body" and running is self.cycle
        if running is None or (is_of_running and not running.response_started):
            self.transport.write(self._answer(status))
        self._end_requests()
        if self.transport.is_closing():
            return
        # Whoever is still sending would lose the answer if the connection were closed at once.
        self.transport.write_eof()
        self._deadline = self.loop.time() + CLOSING_SECONDS

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > DISCARDED_BYTES and not self.transport.is_closing():
            self.transport.pause_reading()

    def _answer(self, status: HTTPStatus) -> bytes:
        response = problem(status, _DETAILS[status])
        headers = [
            *self.server_state.default_headers,
            *response.raw_headers,
            (b"connection", b"close"),
        ]
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        return b"%s%s\r\n%s" % (STATUS_LINE[status], lines, bytes(response.body))

    def _end_requests(self) -> None:
        """Tells the request that is being answered, and forgets those behind it."""
        running, self._answering = self._answering, None
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
        self.pipeline.clear()

    def _let_go(self) -> None:
        """Breaks the circles of references that only the garbage collector would find, and late."""
        self.parser = self.cycle = None  # type: ignore[assignment]  # as uvicorn does at the end
        self.scope = self.headers = None  # type: ignore[assignment]  # as uvicorn does at the start

    def _report_held(self) -> None:
        held = self._unparsed_bytes + self._section_bytes + self._fields * _FIELD_BYTES
        held += self._unsent_bytes
        for cycle, _ in self.pipeline:
            held += len(cycle.body) + _REQUEST_BYTES
        if self.flow.write_paused:
            held += self.transport.get_write_buffer_size()
        if self.flow.read_paused and self._answering is not None:
            held += len(self._answering.body)
        self._bounds.hold(self, held)
