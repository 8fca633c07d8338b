"""The one layer around all routes, which every request passes on its way in and out.

In: it gets an id, pages of other origins are refused, and the body may not be too slow. Out: the
answer gets its headers, errors become answers, and how long it took is reported.
"""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.edge.bodies import RequestBodies
from app.edge.headers import SecurityHeaders
from app.edge.origins import OriginGuard
from app.edge.request_ids import HEADER, identify
from app.edge.request_times import RequestTimes
from sync.intake.problems import problem

AnswerTo = Callable[[Exception], Response | None]
"""Returns the answer to an error that is expected, and None for any other."""

_EVENT_STREAM = b"text/event-stream"
_EXCHANGE = "likeperson_exchange"


@dataclass(frozen=True, slots=True)
class Edge:
    """The bounds and counters that the layer asks at each request."""

    times: RequestTimes
    headers: SecurityHeaders
    origins: OriginGuard
    bodies: RequestBodies
    answer_to: AnswerTo


class _Exchange:
    """A request and what was sent of its answer."""

    __slots__ = ("_began", "_edge", "_is_stream", "_request_id", "_scope", "_send", "status")

    def __init__(self, edge: Edge, scope: Scope, send: Send) -> None:
        self.status = 0
        self._began = perf_counter()
        self._edge = edge
        self._scope = scope
        self._send = send
        self._request_id = identify(scope).encode()
        self._is_stream = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begin(message)
        elif not (self._is_stream or message.get("more_body", False)):
            # Before the client knows that the answer is complete. Streams last as long as their
            # clients like, and are not reported.
            seconds = perf_counter() - self._began
            self._edge.times.answered(self._scope, self.status, seconds)
        await self._send(message)

    def _begin(self, message: Message) -> None:
        self.status = message["status"]
        given = list(message.get("headers", ()))
        by_name = dict(given)
        self._is_stream = by_name.get(b"content-type", b"").startswith(_EVENT_STREAM)
        added = self._edge.headers.added(by_name, self._scope)
        message["headers"] = [*given, *added, (HEADER, self._request_id)]


class Perimeter:
    """Answers every request, whatever becomes of it.

    `between` is put between this layer and the routes with their errors, for what needs to see both
    as its own: the headers by which pages of allowed origins may read an answer.
    """

    def __init__(
        self, routes: ASGIApp, edge: Edge, between: Callable[[ASGIApp], ASGIApp] | None = None
    ) -> None:
        self._routes = routes
        self._edge = edge
        self._within: ASGIApp = between(self._answered) if between else self._answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._respond(scope, receive, send)
        elif scope["type"] == "websocket":
            identify(scope)
            await (self._edge.origins.refusal(scope) or self._routes)(scope, receive, send)
        else:
            await self._routes(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = scope[_EXCHANGE] = _Exchange(self._edge, scope, send)
        refusal = self._edge.origins.refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, exchange.send)
        elif scope["method"] in ("GET", "HEAD") or self._edge.bodies.are_here(scope):
            await self._within(scope, receive, exchange.send)
        else:
            body = self._edge.bodies.arriving(scope, receive)
            try:
                await self._within(scope, body.receive, exchange.send)
            finally:
                self._edge.bodies.remove(body)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Has the request answered by its route, or says what went wrong."""
        try:
            await self._routes(scope, receive, send)
        except Exception as error:
            exchange: _Exchange = scope[_EXCHANGE]
            if exchange.status:
                # The answer has begun and cannot become another one.
                raise
            answer = self._edge.answer_to(error)
            if answer is not None:
                await answer(scope, receive, send)
                return
            unexpected = problem(HTTPStatus.INTERNAL_SERVER_ERROR, "Unexpected error.")
            await unexpected(scope, receive, send)
            # The server logs it.
            raise
