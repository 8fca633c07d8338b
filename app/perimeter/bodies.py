"""How long a request may take to arrive. Who sends a byte now and then holds nothing for long."""

import asyncio
from http import HTTPStatus

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sync.problems import problem


class SlowBodies:
    """Answers 408 when the body was not there in time, whoever was waiting for it."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        deadline = asyncio.get_running_loop().time() + self._seconds
        complete = False
        late = False

        async def receive_in_time() -> Message:
            nonlocal complete, late
            if complete:
                # Only whether the client goes away is still to be heard.
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                late = True
                return {"type": "http.disconnect"}
            complete = not message.get("more_body", False)
            return message

        async def send_or_say_why(message: Message) -> None:
            if not late:
                await send(message)

        try:
            await self._app(scope, receive_in_time, send_or_say_why)
        except ClientDisconnect:
            if not late:
                raise
        if late:
            response = problem(HTTPStatus.REQUEST_TIMEOUT, "The body did not arrive in time.")
            response.headers["Connection"] = "close"
            await response(scope, receive, send)
