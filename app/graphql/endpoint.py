"""The route `/graphql`: authenticates requests and sockets, and hands them to their transport."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from graphql import GraphQLError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from app.auth.errors import AuthenticationError, InvalidTokenError, KeysUnavailableError
from app.edge.connection_bounds import EXTENSION as CONNECTION
from app.edge.connection_bounds import HttpConnection
from app.graphql.answers import answers
from app.graphql.http import (
    HttpError,
    answer_http,
    answer_media_type,
    database_unreachable,
    error_response,
    headers_of,
    preferred_media_type,
    read_http_request,
)
from app.graphql.rate_limits import MAX_UNIDENTIFIED_PER_ADDRESS, RateLimits, TooManyRequestsError
from app.graphql.request_context import request_context
from app.graphql.sse import EVENT_STREAM, EventStream
from app.graphql.websocket import ConnectLaterError, ForbiddenConnectionError, Socket
from app.metrics import Metrics
from app.open_connections import Connection, TooManyConnectionsError
from app.services import Services
from db.errors import DatabaseUnavailableError
from schema.context import Context
from schema.engine.executor import Executor
from schema.engine.field_use import Client
from schema.errors import ApiError, MemberInactiveError, UnauthenticatedError
from sync.intake.problems import RETRY_AFTER_SECONDS, problem

MAX_CLIENT_NAME = 50


class GraphQLRoute:
    """An ASGI application."""

    def __init__(
        self,
        executor: Executor[Context],
        services: Callable[[], Services],
        metrics: Metrics,
        rate_limits: RateLimits,
        *,
        socket_init_seconds: float,
    ) -> None:
        self._executor = executor
        self._services = services
        self._metrics = metrics
        self._rate_limits = rate_limits
        self._socket_init_seconds = socket_init_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._serve_socket(WebSocket(scope, receive, send))
            return
        headers = headers_of(scope)
        context = request_context(self._services(), scope, _client(headers))
        try:
            authenticator = self._services().authenticator
            asking = authenticator.credentials(headers.get("authorization"))
            context.credentials = await self._rate_limits.authenticated(asking, scope)
            self._rate_limits.count(context.credentials, scope)
        except (AuthenticationError, TooManyRequestsError) as error:
            await _refused(error, context, answer_media_type(headers))(scope, receive, send)
            return
        except DatabaseUnavailableError:
            await database_unreachable(context.request_id)(scope, receive, send)
            return
        if preferred_media_type(headers) != EVENT_STREAM:
            response = await answer_http(scope, receive, headers, self._executor, context)
            await response(scope, receive, send)
            return
        try:
            await self._serve_events(scope, receive, headers, send, context)
        except DatabaseUnavailableError:
            # The stream has not begun; once it has, it reports errors itself.
            await database_unreachable(context.request_id)(scope, receive, send)

    async def _serve_events(
        self,
        scope: Scope,
        receive: Receive,
        headers: Mapping[str, str],
        send: Send,
        context: Context,
    ) -> None:
        try:
            request = await read_http_request(scope, receive, headers)
        except HttpError as refused:
            response = error_response(refused.status, [refused.error], context.request_id)
            await response(scope, receive, send)
            return
        connection: HttpConnection = scope["extensions"][CONNECTION]
        if not connection.stay():
            await _too_many_streams(context)(scope, receive, send)
            return
        stream = EventStream(send, context.request_id, connection.unsent)
        context.sink = stream
        context.resume_after = headers.get("last-event-id") or None
        self._metrics.open_event_streams.inc()
        try:
            # Whoever may not be served is told so by the operation itself.
            await self._register(stream, context)
            may_change = scope["method"] == "POST"
            results = answers(self._executor, request, context, may_change=may_change)
            await stream.serve(receive, results)
        except TooManyConnectionsError as error:
            response = error_response(HTTPStatus.TOO_MANY_REQUESTS, [error], context.request_id)
            await response(scope, receive, send)
        finally:
            self._metrics.open_event_streams.dec()
            self._services().connections.unregister(stream)

    async def _serve_socket(self, websocket: WebSocket) -> None:
        socket = Socket(
            websocket, self._executor, self._connect, self._count, self._socket_init_seconds
        )
        unidentified = self._rate_limits.unidentified_sockets
        if not unidentified.add(socket, socket.scope):
            await websocket.send_denial_response(_too_many_sockets())
            return
        self._metrics.open_sockets.inc()
        try:
            await socket.serve()
        finally:
            self._metrics.open_sockets.dec()
            unidentified.remove(socket, socket.scope)
            self._services().connections.unregister(socket)

    async def _connect(self, socket: Socket, payload: Mapping[str, Any]) -> Context:
        """Returns the context of a socket, by the payload of its `connection_init`.

        Raises ForbiddenConnectionError or ConnectLaterError.
        """
        headers = headers_of(socket.scope)
        context = request_context(self._services(), socket.scope, _client(headers))
        try:
            authenticator = self._services().authenticator
            handshake = headers.get("authorization")
            asking = authenticator.connection_credentials(payload, handshake)
            context.credentials = await self._rate_limits.authenticated(asking, socket.scope)
            self._rate_limits.count(context.credentials, socket.scope)
        except (KeysUnavailableError, TooManyRequestsError) as error:
            raise ConnectLaterError from error
        except InvalidTokenError as error:
            raise ForbiddenConnectionError(str(error)) from error
        try:
            may_be_served = await self._register(socket, context)
        except TooManyConnectionsError as error:
            raise ConnectLaterError from error
        if not may_be_served:
            raise ForbiddenConnectionError(MemberInactiveError().message)
        if context.credentials is not None:
            self._rate_limits.unidentified_sockets.remove(socket, socket.scope)
        return context

    def _count(self, context: Context, scope: Scope) -> None:
        """Counts one operation. Raises TooManyRequestsError."""
        self._rate_limits.count(context.credentials, scope)

    async def _register(self, connection: Connection, context: Context) -> bool:
        """Registers a connection under its viewer, and returns whether that viewer may be served.

        A member's connection is closed when their membership ends. Raises TooManyConnectionsError.
        """
        is_person = context.credentials is not None and not context.credentials.operator
        connections = self._services().connections
        while True:
            position = connections.position
            viewer = await context.current_viewer()
            member = None if viewer is None else viewer.member
            connections.register(connection, context.credentials, member.id if member else None)
            if viewer is not None and not viewer.is_active:
                return False
            # What was read of a person holds if nothing has been changed since.
            if not is_person or connections.position == position:
                return True


def _refused(
    error: AuthenticationError | TooManyRequestsError, context: Context, media_type: str
) -> Response:
    def refused(status: HTTPStatus, error: GraphQLError) -> Response:
        return error_response(status, [error], context.request_id, media_type)

    if isinstance(error, TooManyRequestsError):
        response = refused(HTTPStatus.TOO_MANY_REQUESTS, error)
        response.headers.update(error.exceeded.headers())
        return response
    known = UnauthenticatedError(str(error))
    if isinstance(error, KeysUnavailableError):
        response = refused(HTTPStatus.SERVICE_UNAVAILABLE, known)
        response.headers["Retry-After"] = "5"
        return response
    response = refused(HTTPStatus.UNAUTHORIZED, known)
    response.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
    return response


def _too_many_streams(context: Context) -> Response:
    """Returns a 503: the rest of the connections is kept for requests."""
    error = ApiError("Too many connections. Try again later.")
    response = error_response(HTTPStatus.SERVICE_UNAVAILABLE, [error], context.request_id)
    response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _too_many_sockets() -> Response:
    detail = f"This address has {MAX_UNIDENTIFIED_PER_ADDRESS} sockets without credentials."
    response = problem(HTTPStatus.TOO_MANY_REQUESTS, detail)
    response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _client(headers: Mapping[str, str]) -> Client:
    """Returns the name and version of the client, as its headers state them."""
    name, version = (
        headers.get(f"graphql-client-{what}") or headers.get(f"apollographql-client-{what}") or ""
        for what in ("name", "version")
    )
    return Client(name[:MAX_CLIENT_NAME], version[:MAX_CLIENT_NAME])
