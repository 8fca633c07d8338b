"""The route `/webhooks/{source}`: hands deliveries to `sync` and limits wrong credentials."""

from http import HTTPStatus

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.edge.rates import Limiter, network_of
from sync.intake.problems import problem
from sync.intake.webhook import WebhookRoute


class DeliveryRoute:
    """An ASGI application that answers deliveries.

    After too many refused deliveries from one address (`refusals`), further refusals there are
    503 with `Retry-After`. Authenticated deliveries never wait, since they may share the address.
    """

    def __init__(self, webhook: WebhookRoute, refusals: Limiter | None) -> None:
        self._webhook = webhook
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._respond(scope, receive)
        await response(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive) -> Response:
        asked = scope["path_params"]["source"], scope["headers"], scope["query_string"]
        response: Response | None = None
        if scope["method"] == "POST":
            response = await self._webhook.respond(*asked, receive)
        elif scope["method"] == "OPTIONS":
            response = self._webhook.consent(*asked)
        if response is None:
            response = problem(HTTPStatus.METHOD_NOT_ALLOWED, "Send deliveries by POST.")
            response.headers["Allow"] = "POST"
            return response
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
