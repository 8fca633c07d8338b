"""The bell: tells every process that the feed has grown to a position, and nothing else.

It carries no data and promises no delivery. Whoever waits for it also polls the database.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Self

from broadcaster import Broadcast, BroadcastBackend, Event
from broadcaster._backends.memory import MemoryBackend
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from db.driver.urls import check_postgres_url
from db.feed.bell_postgres import PostgresBackend
from db.feed.bell_redis import RedisBackend
from db.feed.outage import PATIENCE, Outage

logger = logging.getLogger(__name__)

CHANNEL = "likeperson_sync_feed"
ECHO_SECONDS = 5.0
RETRY_SECONDS = 0.5
PAUSE_SECONDS = 0.01
"""The pause between two publishes. Each wakes every process, and the last position is enough."""
LARGEST_POSITION = 2**63 - 1


class EchoLostError(ConnectionError):
    """The broker accepts what is published, but the bell does not receive it back."""


class BroadcastBell:
    """The bell over broadcaster: `memory://`, `postgresql+asyncpg://…` or `redis://…`.

    Without its broker it still rings within this process. It checks its connection end to end:
    what it publishes must come back to it, or it closes the connection and opens another. It
    belongs to the event loop that entered it.
    """

    def __init__(
        self,
        url: str,
        *,
        channel: str = CHANNEL,
        open_backend: Callable[[str], BroadcastBackend] | None = None,
        echo_seconds: float = ECHO_SECONDS,
        patience: float = PATIENCE,
        pause: float = PAUSE_SECONDS,
    ) -> None:
        self._url = url
        self._channel = channel
        self._open_backend = open_backend or partial(backend_for, channel=channel)
        # A URL that no backend understands is a mistake of configuration, not an outage.
        self._open_backend(url)
        self._echo_seconds = echo_seconds
        self._patience = patience
        self._pause = pause
        self._highest = 0
        self._changed = asyncio.Event()
        self._due = asyncio.Event()
        self._unheard_since: float | None = None
        self._settled = asyncio.Event()
        self._outage = Outage("The broker of the bell", logger, logging.WARNING)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Returns when the bell has heard itself, or when a first attempt has failed."""
        self._task = asyncio.create_task(self._run(), name="bell")
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience):
                    await self._settled.wait()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        # broadcaster cancels its own task without waiting: let it end.
        await asyncio.sleep(0)

    def ring(self, position: int) -> None:
        """Says that the feed has grown to this position. Never blocks or raises.

        Rings that come close together become one, with the highest position.
        """
        if self._note(position):
            self._due.set()

    def highest(self) -> int:
        """Returns the highest position that was rung for; 0 at first."""
        return self._highest

    async def wait(self, seen: int, timeout: float) -> int:  # noqa: ASYNC109 - ends normally then
        """Returns `highest()` once it is above `seen`, at the latest after `timeout` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self._highest <= seen:
                    await self._changed.wait()
        return self._highest

    def _note(self, position: int) -> bool:
        """Keeps a higher position, wakes all who wait, and returns True; else returns False."""
        if position <= self._highest:
            return False
        self._highest = position
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        return True

    async def _run(self) -> None:
        while True:
            try:
                await self._serve()
            except Exception as lost:  # each broker's driver has its own errors
                self._settled.set()
                await self._outage.pause(_first_cause(lost))

    async def _serve(self) -> None:
        """Serves one connection to the broker until it is lost or no longer hears."""
        backend = self._open_backend(self._url)
        self._unheard_since = None
        # A first ring shows whether this connection hears.
        self._due.set()
        try:
            async with (
                Broadcast(backend=backend) as broadcast,
                broadcast.subscribe(self._channel) as subscriber,
                asyncio.TaskGroup() as tasks,
            ):
                tasks.create_task(self._hear(subscriber.get))
                tasks.create_task(self._publish(broadcast))
        finally:
            # broadcaster skips this when it is cancelled while connecting, or when its listener has
            # failed.
            await backend.disconnect()

    async def _hear(self, next_event: Callable[[], Awaitable[Event]]) -> None:
        while True:
            event = await next_event()
            self._unheard_since = None
            self._settled.set()
            self._outage.over()
            self._note(_position_in(event.message))

    async def _publish(self, broadcast: Broadcast) -> None:
        """Publishes the highest position, once at a time with a pause after each.

        Raises EchoLostError when nothing comes back.
        """
        while True:
            await self._next_turn()
            # Set before publishing, since the echo may come before the broker's own answer.
            self._unheard_since = self._unheard_since or _now()
            try:
                async with asyncio.timeout(self._patience):
                    await broadcast.publish(self._channel, str(self._highest))
                await asyncio.sleep(self._pause)
            except Exception as error:  # each broker's driver has its own errors
                self._due.set()
                self._unheard_since = None
                self._settled.set()
                await self._outage.pause(error)

    async def _next_turn(self) -> None:
        """Returns when a ring is due or the connection is to be tested.

        Raises EchoLostError when what was published has not come back.
        """
        quiet = self._echo_seconds if self._unheard_since is None else RETRY_SECONDS
        with suppress(TimeoutError):
            async with asyncio.timeout(min(quiet, self._echo_seconds)):
                await self._due.wait()
        self._due.clear()
        if self._unheard_since is not None and _now() - self._unheard_since > self._patience:
            raise EchoLostError(f"no echo within {self._patience:g} s of publishing")


def channel_of(feed_id: str) -> str:
    """Returns the channel of one feed. Several databases may ring over one broker."""
    return f"{CHANNEL}_{feed_id}"


def backend_for(url: str, channel: str = CHANNEL) -> BroadcastBackend:
    """Returns a backend that connects without failing and repairs its connection by itself.

    Raises ValueError for a scheme that no backend understands.
    """
    scheme = url.partition("://")[0]
    if scheme == "memory":
        return MemoryBackend(url)
    if scheme in ("postgresql+asyncpg", "postgresql"):
        return PostgresBackend(url, channel)
    if scheme in ("redis", "rediss"):
        return RedisBackend(url, channel)
    raise ValueError(f"has the scheme {scheme!r}; use memory, postgresql+asyncpg or redis")


def check_bell_url(url: str) -> None:
    """Raises ValueError, without the password, for a URL that no backend understands."""
    try:
        backend_for(url)
    except (ArgumentError, ValueError):
        raise ValueError(
            "is not a URL such as memory://, redis://HOST:6379/0 or "
            "postgresql+asyncpg://USER:PASSWORD@HOST/NAME"
        ) from None
    if url.startswith("postgresql"):
        check_postgres_url(make_url(url))


def _position_in(message: object) -> int:
    """Returns the position in a message; 0, which wakes nobody, if it holds none."""
    text = str(message)
    # The length is checked first, since int() raises for thousands of digits.
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_POSITION))):
        return 0
    position = int(text)
    return position if position <= LARGEST_POSITION else 0


def _first_cause(lost: Exception) -> Exception:
    """Returns the error that ended a task group, which wraps it."""
    while isinstance(lost, ExceptionGroup):
        lost = lost.exceptions[0]
    return lost


def _now() -> float:
    return asyncio.get_running_loop().time()
