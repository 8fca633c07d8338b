"""The whole way of a delivery from the server to the webhook route, in one layer.

What stands around the other routes wraps every message of every request, each layer anew. That
costs more than reading an event, and deliveries come by the thousand.
"""

from http import HTTPStatus

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.edge.bodies import Deadlines
from app.edge.headers import AnswerHeaders
from app.edge.rates import Limiter, network_of
from app.edge.request_ids import HEADER, request_id_for
from app.webhooks.http_protocol import EXTENSION, ShortAnswer
from sync.problems import problem
from sync.webhook import WebhookRoute

PATH = "/webhooks/{source}"

_PREFIX, _, _ = PATH.partition("{")


class DeliveryDoor:
    """`refusals`: after too many of one address, the next one is 503, as senders understand it. A
    delivery that is believed never waits for those that are not: they may share the address."""

    def __init__(
        self,
        app: ASGIApp,
        webhook: WebhookRoute,
        headers: AnswerHeaders,
        deadlines: Deadlines,
        refusals: Limiter | None,
    ) -> None:
        self._app = app
        self._webhook = webhook
        self._headers = headers
        self._deadlines = deadlines
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        source = _source_of(scope)
        if source is None:
            await self._app(scope, receive, send)
            return
        response = await self._respond(source, scope, receive)
        given = response.raw_headers
        given.append((HEADER, request_id_for(scope).encode()))
        self._headers.add(given, scope)
        short: ShortAnswer | None = scope.get("extensions", {}).get(EXTENSION)
        if short is None or not short.write(response):
            await response(scope, receive, send)

    async def _respond(self, source: str, scope: Scope, receive: Receive) -> Response:
        if scope["method"] != "POST":
            response = problem(HTTPStatus.METHOD_NOT_ALLOWED, "Deliveries are sent by POST.")
            response.headers["Allow"] = "POST"
            return response
        receive = self._deadlines.guard(receive)
        response = await self._webhook.respond(source, scope["headers"], receive)
        if response.status_code == HTTPStatus.UNAUTHORIZED and self._refusals is not None:
            return self._unless_too_many(response, scope, self._refusals)
        return response

    def _unless_too_many(self, refusal: Response, scope: Scope, refusals: Limiter) -> Response:
        address = scope["client"][0] if scope.get("client") else ""
        exceeded = refusals.take(network_of(address))
        if exceeded is None:
            return refusal
        response = problem(HTTPStatus.SERVICE_UNAVAILABLE, "Too many deliveries were refused.")
        response.headers.update(exceeded.headers())
        return response


def _source_of(scope: Scope) -> str | None:
    if scope["type"] != "http" or not scope["path"].startswith(_PREFIX):
        return None
    source: str = scope["path"].removeprefix(_PREFIX)
    return source if source and "/" not in source else None
