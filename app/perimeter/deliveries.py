"""Deliveries that nobody believes: those who keep sending them are asked to wait."""

from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.perimeter.rates import Exceeded, Limiter, network_of
from sync.problems import problem


class DoubtfulDeliveries:
    """After too many refusals of one address, the next one is 503, as senders understand it.

    A delivery that is believed never waits for those that are not: they may share the address.
    """

    def __init__(self, app: ASGIApp, failures: Limiter) -> None:
        self._app = app
        self._failures = failures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/webhooks/"):
            await self._app(scope, receive, send)
            return
        exceeded: Exceeded | None = None

        async def unless_too_many(message: Message) -> None:
            nonlocal exceeded
            if message["type"] == "http.response.start" and message["status"] == 401:
                address = scope["client"][0] if scope.get("client") else ""
                exceeded = self._failures.take(network_of(address))
            if exceeded is None:
                await send(message)

        await self._app(scope, receive, unless_too_many)
        if exceeded is not None:
            response = problem(HTTPStatus.SERVICE_UNAVAILABLE, "Too many deliveries were refused.")
            response.headers.update(exceeded.headers())
            await response(scope, receive, send)
