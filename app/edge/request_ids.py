"""Every request has an id: the caller's own if it sent one, told in the answer and in the log."""

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schema.context import new_request_id

HEADER = b"x-request-id"

_KEY = "likeperson_request_id"
# Anything else could not go into a header or a line of the log as it is.
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestIds:
    """Around the whole application, so that no answer is without it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = scope[_KEY] = request_id_for(scope)

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (HEADER, request_id.encode())]
            await send(message)

        await self._app(scope, receive, tell if scope["type"] == "http" else send)


def request_id_for(scope: Scope) -> str:
    """The caller's own, or a new one."""
    for name, value in scope["headers"]:
        if name == HEADER:
            given: str = value.decode("latin-1")
            return given if _ACCEPTABLE.fullmatch(given) else new_request_id()
    return new_request_id()


def request_id_of(scope: Scope) -> str:
    found: str = scope[_KEY]
    return found
