"""Bounds how long the body of a request may take to arrive, whoever reads it."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyTooSlowError(TimeoutError):
    """The body of a request was not complete in time. It is answered with 408."""


class SlowBodies:
    """Raises BodyTooSlowError from `receive` when a body is not complete after `seconds`."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        deadline = asyncio.get_running_loop().time() + self._seconds
        complete = False

        async def receive_in_time() -> Message:
            nonlocal complete
            if complete:
                # All that can still come is that the client has disconnected.
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError as error:
                raise BodyTooSlowError from error
            complete = not message.get("more_body", False)
            return message

        await self._app(scope, receive_in_time, send)
