"""Which web pages may use the API: those of this service, and of the origins in the settings.

Programs that are no browsers send no `Origin`, and are not concerned.
"""

from collections.abc import Collection
from http import HTTPStatus
from urllib.parse import urlsplit

import msgspec
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from app.edge.request_ids import request_id_of

GUARDED = ("/graphql", "/sign-in")

_FOREIGN = "Pages of this origin may not use this API."
_BARE_GET = "Send `Authorization` with a query by GET, or ask by POST."


class OriginGuard:
    """`strict`: a GET must also carry a header that no page can make another one's visitor send
    without being asked first."""

    def __init__(self, app: ASGIApp, allowed: Collection[str], *, strict: bool) -> None:
        self._app = app
        self._allowed = frozenset(allowed)
        self._strict = strict

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] not in GUARDED:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not self._may_ask(headers):
            is_socket = scope["type"] == "websocket"
            refusal = WebSocketClose() if is_socket else _refused(_FOREIGN, scope)
            await refusal(scope, receive, send)
        elif (
            self._strict
            and scope["type"] == "http"
            and scope["path"] == "/graphql"
            and scope["method"] in ("GET", "HEAD")
            and "authorization" not in headers
        ):
            await _refused(_BARE_GET, scope)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _may_ask(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        if origin is None:
            # A page can also ask without saying so, by an image for instance.
            return headers.get("sec-fetch-site") != "cross-site"
        return origin in self._allowed or _host_of(origin) == headers.get("host", "").lower()


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _refused(message: str, scope: Scope) -> Response:
    extensions = {"code": "FORBIDDEN", "requestId": request_id_of(scope)}
    body = msgspec.json.encode({"errors": [{"message": message, "extensions": extensions}]})
    return Response(body, HTTPStatus.FORBIDDEN, media_type="application/json")
