"""The route `/graphql`: HTTP by the GraphQL-over-HTTP specification, and graphql-transport-ws."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from json import JSONDecodeError
from typing import Any

import msgspec
from cross_web import HTTPException
from graphql import GraphQLError
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.exceptions import ConnectionRejectionError
from strawberry.http import GraphQLHTTPResponse
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
)
from strawberry.subscriptions.protocols.graphql_transport_ws.types import Message
from strawberry.types.unset import UnsetType

from app.auth.errors import AuthenticationError, InvalidTokenError, KeysUnavailableError
from app.metrics import Metrics
from app.services import Services
from db.vocabulary import MemberId
from schema.build import Schema
from schema.context import Context

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"
ACCEPTABLE = (GRAPHQL_RESPONSE, JSON, "application/*", "*/*")
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


class NegotiatedResponse(Response):
    """Stands in until the result is there; remembers which media type was asked for."""

    graphql_response = False


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
        self._services = services
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._serve_socket(WebSocket(scope, receive, send))
            return
        request = Request(scope, receive)
        try:
            services = self._services()
            authorization = request.headers.get("authorization")
            credentials = await services.authenticator.credentials(authorization)
            context = Context(services.database, services.feed, services.clock, credentials)
            response = await self.run(request, context=context)
        except InvalidTokenError as error:
            response = _refusal(HTTPStatus.UNAUTHORIZED, str(error), "UNAUTHENTICATED")
            response.headers["WWW-Authenticate"] = "Bearer"
        except KeysUnavailableError as error:
            response = _refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error), "UNAUTHENTICATED")
            response.headers["Retry-After"] = "5"
        except HTTPException as error:
            response = _refusal(HTTPStatus(error.status_code), error.reason, "BAD_USER_INPUT")
        await response(scope, receive, send)

    async def _serve_socket(self, websocket: WebSocket) -> None:
        services = self._services()
        context = SocketContext(
            services.database, services.feed, services.clock, websocket=websocket
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

    async def get_sub_response(self, request: Request | WebSocket) -> Response:
        response = NegotiatedResponse()
        response.status_code = None  # type: ignore[assignment]  # strawberry's sign for "not set"
        del response.headers["content-length"]
        response.graphql_response = _prefers_graphql_response(request.headers)
        return response

    def create_response(
        self,
        response_data: GraphQLHTTPResponse | list[GraphQLHTTPResponse],
        sub_response: Response,
    ) -> Response:
        negotiated = isinstance(sub_response, NegotiatedResponse) and sub_response.graphql_response
        document = dict(response_data) if isinstance(response_data, dict) else {}
        status: int = sub_response.status_code or HTTPStatus.OK
        errors: Any = document.get("errors") or []
        if document.get("data") is None and errors and not any("path" in e for e in errors):
            # Nothing was executed, so there is no data, not even null.
            document.pop("data", None)
            status = HTTPStatus.BAD_REQUEST if negotiated else status
        response = Response(
            msgspec.json.encode(document),
            status,
            media_type=GRAPHQL_RESPONSE if negotiated else JSON,
        )
        response.headers.raw.extend(sub_response.headers.raw)
        return response

    def decode_json(self, data: str | bytes) -> object:
        """Raises JSONDecodeError for everything that a hostile body can make go wrong."""
        try:
            document = super().decode_json(data)
        except (RecursionError, UnicodeDecodeError) as error:
            raise JSONDecodeError("Not JSON that can be read", "", 0) from error
        # Strawberry takes for granted that a body is an object or a list.
        if isinstance(data, bytes) and not isinstance(document, dict | list):
            raise JSONDecodeError("Not an object", "", 0)
        return document

    def encode_json(self, data: object) -> str:
        return msgspec.json.encode(data).decode()


def _refusal(status: HTTPStatus, message: str, code: str) -> Response:
    document = {"errors": [{"message": message, "extensions": {"code": code}}]}
    return Response(msgspec.json.encode(document), status, media_type=JSON)


def _prefers_graphql_response(headers: Mapping[str, str] | Headers) -> bool:
    """Whether it is the best of the two media types, by q; the first one wins between equals."""
    best, best_quality = "", 0.0
    for part in headers.get("accept", "").split(","):
        media_type, *parameters = (text.strip() for text in part.lower().split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                with suppress(ValueError):
                    quality = float(parameter.removeprefix("q="))
        if (
            media_type in (GRAPHQL_RESPONSE, JSON, "application/*", "*/*")
            and quality > best_quality
        ):
            best, best_quality = media_type, quality
    return best == GRAPHQL_RESPONSE
