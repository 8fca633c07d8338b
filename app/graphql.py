"""The route `/graphql`: HTTP by the GraphQL-over-HTTP specification, and graphql-transport-ws."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from json import JSONDecodeError
from typing import Any

import msgspec
from graphql import GraphQLError
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.exceptions import ConnectionRejectionError
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
)
from strawberry.subscriptions.protocols.graphql_transport_ws.types import Message
from strawberry.types.unset import UnsetType

from app.auth.errors import AuthenticationError, InvalidTokenError, KeysUnavailableError
from app.graphql_http import answer_http, refusal
from app.metrics import Metrics
from app.request_ids import request_id_of
from app.services import Services
from db.vocabulary import MemberId
from schema.build import Schema
from schema.context import Context
from schema.errors import UnauthenticatedError

CLOSE_FORBIDDEN = 4403
INIT_SECONDS = 10


@dataclass(slots=True)
class SocketContext(Context):
    """Of one socket; its operations get copies."""

    websocket: WebSocket | None = None
    member_id: MemberId | None = None

    async def close(self) -> None:
        if self.websocket is not None:
            await self.websocket.close(CLOSE_FORBIDDEN, "Forbidden")


class OperationJson(msgspec.Struct):
    query: str
    variables: dict[str, Any] | None = None
    operationName: str | None = None  # noqa: N815  (its name on the wire)


class SocketMessage(msgspec.Struct):
    """What is common to all messages of graphql-transport-ws."""

    type: str
    payload: dict[str, Any] | None = None


class SubscribeMessage(msgspec.Struct):
    id: str
    payload: OperationJson


class CompleteMessage(msgspec.Struct):
    id: str


_MESSAGES: dict[str, type[msgspec.Struct]] = {
    "subscribe": SubscribeMessage,
    "complete": CompleteMessage,
}


class SocketHandler(BaseGraphQLTransportWSHandler[Context, None]):
    """Strawberry's, which takes for granted that messages have the right shape."""

    async def handle_message(self, message: Message) -> None:
        try:
            kind = msgspec.convert(message, SocketMessage).type
            msgspec.convert(message, _MESSAGES.get(kind, SocketMessage))
        except msgspec.ValidationError:
            await self.handle_invalid_message("Failed to parse message")
        else:
            await super().handle_message(message)

    @staticmethod
    def _get_pre_execution_close_reason(error: GraphQLError) -> None:
        """By the protocol, one operation that cannot be read does not cost the socket."""


class GraphQLRoute(GraphQL[Context, None]):
    """An ASGI application for HTTP and WebSocket."""

    graphql_transport_ws_handler_class = SocketHandler

    def __init__(
        self,
        schema: Schema,
        services: Callable[[], Services],
        metrics: Metrics,
    ) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=timedelta(seconds=INIT_SECONDS),
        )
        self._executor = schema.executor
        self._services = services
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._serve_socket(WebSocket(scope, receive, send))
            return
        context = self._context(scope)
        try:
            authorization = Headers(scope=scope).get("authorization")
            authenticator = self._services().authenticator
            context.credentials = await authenticator.credentials(authorization)
            response = await answer_http(scope, receive, self._executor, context)
        except InvalidTokenError as error:
            response = refusal(
                HTTPStatus.UNAUTHORIZED, [UnauthenticatedError(str(error))], context.request_id
            )
            response.headers["WWW-Authenticate"] = "Bearer"
        except KeysUnavailableError as error:
            response = refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                [UnauthenticatedError(str(error))],
                context.request_id,
            )
            response.headers["Retry-After"] = "5"
        await response(scope, receive, send)

    def _context(self, scope: Scope) -> Context:
        services = self._services()
        return Context(
            services.database,
            services.feed,
            services.clock,
            services.longest_silence,
            request_id=request_id_of(scope),
        )

    async def _serve_socket(self, websocket: WebSocket) -> None:
        services = self._services()
        context = SocketContext(
            services.database,
            services.feed,
            services.clock,
            services.longest_silence,
            request_id=request_id_of(websocket.scope),
            websocket=websocket,
        )
        self._metrics.open_sockets.inc()
        try:
            await self.run(websocket, context=context)
        finally:
            self._metrics.open_sockets.dec()
            if context.member_id is not None:
                services.sessions.closed(context.member_id, context.close)

    async def on_ws_connect(self, context: Context) -> UnsetType:
        try:
            context.credentials = await self._services().authenticator.connection_credentials(
                context.connection_params
            )
        except AuthenticationError as error:
            raise ConnectionRejectionError from error
        viewer = await context.viewer_now()
        if viewer is not None and not viewer.is_active:
            raise ConnectionRejectionError
        if viewer is not None and viewer.member is not None and isinstance(context, SocketContext):
            context.member_id = viewer.member.id
            self._services().sessions.opened(viewer.member.id, context.close)
        return UnsetType()

    def decode_json(self, data: str | bytes) -> object:
        """Of a socket's message. Raises JSONDecodeError for everything that can go wrong."""
        try:
            return super().decode_json(data)
        except RecursionError as error:
            raise JSONDecodeError("Not JSON that can be read", "", 0) from error

    def encode_json(self, data: object) -> str:
        return msgspec.json.encode(data).decode()
