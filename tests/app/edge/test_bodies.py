"""Bodies that are not complete: which of them are given up when they are too many."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.edge import bodies
from app.edge.bodies import BodyTooSlowError, RequestBodies
from sync.errors import OverloadedError
from tests.support.service import DEADLINE


class Upload:
    """A request whose body arrives when the test says so."""

    def __init__(self, address: str = "192.0.2.1") -> None:
        self.scope: Scope = {"type": "http", "method": "POST", "client": (address, 1)}
        self.task: asyncio.Task[None] | None = None
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._taken = asyncio.Event()

    async def receive(self) -> Message:
        self._taken.set()
        return await self._messages.get()

    async def send(self, size: int, *, more: bool = True) -> None:
        """Returns when the piece has been taken."""
        await self._taken.wait()
        self._taken.clear()
        message = {"type": "http.request", "body": bytes(size), "more_body": more}
        self._messages.put_nowait(message)
        assert self.task is not None
        again = asyncio.create_task(self._taken.wait())
        await asyncio.wait([self.task, again], return_when=asyncio.FIRST_COMPLETED)
        again.cancel()

    async def ended(self) -> type[BaseException] | None:
        """What it ended with."""
        assert self.task is not None
        await asyncio.wait([self.task], timeout=DEADLINE)
        error = self.task.exception()
        return type(error) if error else None

    @property
    def goes_on(self) -> bool:
        return self.task is not None and not self.task.done()


async def read_body(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass


async def send_nothing(message: Message) -> None: ...


async def run(bodies: RequestBodies, app: ASGIApp, upload: Upload) -> None:
    body = bodies.arriving(upload.scope, upload.receive)
    try:
        await app(upload.scope, body.receive, send_nothing)
    finally:
        bodies.remove(body)


@asynccontextmanager
async def uploading(*uploads: Upload, seconds: float = DEADLINE) -> AsyncIterator[None]:
    held = RequestBodies(seconds)
    for upload in uploads:
        upload.task = asyncio.create_task(run(held, read_body, upload))
    try:
        yield
    finally:
        tasks = [upload.task for upload in uploads if upload.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert (held._total, held._bytes, held._by_address) == (0, {}, {})


@pytest.fixture(autouse=True)
def _small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_BYTES", 1000)
    monkeypatch.setattr(bodies, "MAX_BYTES_PER_ADDRESS", 600)


async def test_body_that_is_not_complete_in_time_is_given_up() -> None:
    slow = Upload()
    async with uploading(slow, seconds=0.05):
        await slow.send(1)

        assert await slow.ended() is BodyTooSlowError


async def test_slowest_bodies_of_an_address_are_given_up_when_it_has_too_much() -> None:
    several = [Upload(), Upload(), Upload("198.51.100.1")]
    slow, quick, other = several
    async with uploading(*several):
        await slow.send(100)
        await other.send(100)
        await quick.send(550)

        assert await slow.ended() is OverloadedError
        assert other.goes_on
        assert await quick.ended() is OverloadedError


async def test_bodies_of_all_addresses_are_bounded_together() -> None:
    several = [Upload(f"192.0.2.{number}") for number in range(4)]
    async with uploading(*several):
        for number, upload in enumerate(several):
            await upload.send((100, 300, 300, 310)[number])

        assert [upload.goes_on for upload in several] == [False, False, True, True]
        assert await several[0].ended() is OverloadedError


async def test_complete_bodies_count_no_longer() -> None:
    several = [Upload() for _ in range(20)]
    async with uploading(*several):
        for upload in several:
            await upload.send(500)
            await upload.send(100, more=False)

            assert await upload.ended() is None


async def test_body_that_was_given_up_while_nobody_read_it_is_refused_at_the_next_read() -> None:
    slow, quick = Upload(), Upload()
    busy = asyncio.Event()

    async def read_late(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if scope is slow.scope:
            await busy.wait()
        await receive()

    held = RequestBodies(DEADLINE)
    for upload in (slow, quick):
        upload.task = asyncio.create_task(run(held, read_late, upload))
    slow._messages.put_nowait({"type": "http.request", "body": bytes(200), "more_body": True})
    await quick.send(500)
    slow._messages.put_nowait({"type": "http.request", "body": b"", "more_body": True})
    busy.set()

    assert await slow.ended() is OverloadedError
    assert await quick.ended() is OverloadedError
