"""Refuses web pages of other origins, unless the settings allow them.

Programs other than browsers send no `Origin` and are not affected.
"""

from collections.abc import Collection
from http import HTTPStatus
from urllib.parse import urlsplit

import msgspec
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Scope
from starlette.websockets import WebSocketClose

from app.edge.request_ids import request_id_of

GUARDED = ("/graphql", "/changes", "/sign-in")

_FOREIGN = (
    "This origin may not use the API. Allowed origins are listed in LIKEPERSON_ALLOWED_ORIGINS."
)
_BARE_GET = "A query by GET needs an `Authorization` header. Send it, or use POST."


class OriginGuard:
    """Refuses requests and handshakes from pages of other origins with 403.

    With `strict`, a GET must also carry `Authorization`, which a page of another origin cannot add
    without a preflight request.
    """

    def __init__(self, allowed: Collection[str], *, strict: bool) -> None:
        self._allowed = frozenset(allowed)
        self._strict = strict

    def refusal(self, scope: Scope) -> ASGIApp | None:
        """Returns the answer to a request that is refused."""
        if scope["path"] not in GUARDED:
            return None
        headers = Headers(scope=scope)
        is_socket = scope["type"] == "websocket"
        if not self._is_allowed(headers):
            return WebSocketClose() if is_socket else _refused(_FOREIGN, scope)
        if (
            self._strict
            and not is_socket
            and scope["path"] == "/graphql"
            and scope["method"] in ("GET", "HEAD")
            and "authorization" not in headers
        ):
            return _refused(_BARE_GET, scope)
        return None

    def _is_allowed(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        if origin is None:
            # A page can also ask without `Origin`, by an image for instance.
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
