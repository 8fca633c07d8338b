"""How long a request may take to arrive. Who sends a byte now and then holds nothing for long."""

import asyncio
from time import monotonic

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sync.problems import too_slow


class Deadlines:
    """How long requests may take to arrive: so many seconds, or up to a twentieth more. One timer
    serves them all; a timer for each would cost more than most of what it guards."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waits: dict[asyncio.Task[object], float] = {}
        self._late: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def guard(self, receive: Receive) -> Receive:
        """The messages of a request that begins now. Raises TimeoutError."""
        deadline = monotonic() + self._seconds

        async def receive_in_time() -> Message:
            task = asyncio.current_task()
            if task is None:
                raise RuntimeError("Only a task can wait.")
            self._waits[task] = deadline
            if self._timer is None:
                self._look_later()
            try:
                return await receive()
            except asyncio.CancelledError:
                # Somebody else may have cancelled it at the same time.
                if task in self._late and task.uncancel() == 0:
                    raise TimeoutError from None
                raise
            finally:
                self._waits.pop(task, None)
                self._late.discard(task)

        return receive_in_time

    def _look_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._seconds / 20, self._look)

    def _look(self) -> None:
        now = monotonic()
        for task in [task for task, deadline in self._waits.items() if deadline <= now]:
            del self._waits[task]
            self._late.add(task)
            task.cancel()
        self._timer = None
        if self._waits:
            self._look_later()


class SlowBodies:
    """Answers 408 when the body was not there in time, whoever was waiting for it."""

    def __init__(self, app: ASGIApp, deadlines: Deadlines) -> None:
        self._app = app
        self._deadlines = deadlines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        guarded = self._deadlines.guard(receive)
        complete = False
        late = False

        async def receive_in_time() -> Message:
            nonlocal complete, late
            if complete:
                # Only whether the client goes away is still to be heard.
                return await receive()
            try:
                message = await guarded()
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
            await too_slow()(scope, receive, send)
