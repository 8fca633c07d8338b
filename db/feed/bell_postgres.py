"""A broadcaster backend for PostgreSQL that outlives lost connections.

broadcaster's own backend shares one connection between LISTEN and NOTIFY, so concurrent publishing
fails, and after a lost connection it never receives anything again. No delivery is promised here
either.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it ships no types
from broadcaster import BroadcastBackend, Event
from sqlalchemy import make_url

from db.driver.urls import postgres_arguments
from db.feed.outage import PATIENCE, Outage

logger = logging.getLogger(__name__)

APPLICATION_NAME = "likeperson-sync bell"
LIVENESS_SECONDS = 5.0
QUEUE_LIMIT = 1000
POOL_SIZE = 2

_LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class PostgresBackend(BroadcastBackend):
    """Listens on a connection of its own and publishes over a small pool.

    It knows its channel from the start and listens before anybody subscribes, so `subscribe` has
    nothing to wait for. While a backend's `subscribe` waits, broadcaster loses the messages of
    other first subscribers.
    """

    def __init__(self, url: str, channel: str) -> None:
        self._channel = channel
        self._target = _connect_arguments(url)
        self._queue: asyncio.Queue[Event] = asyncio.Queue(QUEUE_LIMIT)
        self._outage = Outage("The LISTEN connection", logger, logging.INFO)
        self._attempted = asyncio.Event()
        self._listener: asyncio.Task[None] | None = None
        self._pool: Any = None

    async def connect(self) -> None:
        """Returns when LISTEN has succeeded, or when a first attempt has failed."""
        self._pool = await asyncpg.create_pool(
            init_size=0,
            min_size=0,
            max_size=POOL_SIZE,
            init=_ring_without_the_disk,
            reset=_keep_session,
            **self._target,
        )
        self._listener = asyncio.create_task(self._keep_listening())
        await self._attempted.wait()

    async def disconnect(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        if self._pool is not None:
            # A pool that does not close in time terminates its connections itself.
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self._pool.close()

    async def subscribe(self, group: str) -> None:
        if group != self._channel:
            raise ValueError(f"This backend listens to {self._channel!r} only; got {group!r}.")

    async def unsubscribe(self, group: str) -> None:
        """Does nothing: LISTEN ends with the connection."""

    async def publish(self, channel: str, message: str) -> None:
        await self._pool.execute("SELECT pg_notify($1, $2)", channel, message)

    async def next_published(self) -> Event:
        return await self._queue.get()

    async def _keep_listening(self) -> None:
        while True:
            try:
                async with self._connection() as connection:
                    await self._listen(connection)
            except _LOST as error:
                self._attempted.set()
                await self._outage.pause(error)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        connection = await asyncpg.connect(**self._target)
        try:
            yield connection
        finally:
            with suppress(*_LOST):
                await connection.close(timeout=PATIENCE)

    async def _listen(self, connection: Any) -> None:
        """Listens for ever; raises when the connection is lost or no longer answers."""
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        await connection.add_listener(self._channel, self._on_notify)
        self._outage.over()
        self._attempted.set()
        while not connection.is_closed():
            with suppress(TimeoutError):
                async with asyncio.timeout(LIVENESS_SECONDS):
                    await lost.wait()
            # Only a query shows that the server has vanished without closing the connection.
            await connection.execute("SELECT 1")
        raise ConnectionResetError("the server ended the LISTEN session")

    def _on_notify(self, _connection: object, _pid: int, channel: str, payload: object) -> None:
        if self._queue.full():
            # This callback must not wait, and the newest message has the highest position.
            self._queue.get_nowait()
        self._queue.put_nowait(Event(channel, str(payload)))


def _connect_arguments(url: str) -> dict[str, Any]:
    """Returns asyncpg's arguments for the URL, as the engine would pass them, with time limits."""
    plain = make_url(url).difference_update_query(
        ["prepared_statement_cache_size", "prepared_statement_name_func"]
    )
    target, arguments = postgres_arguments(plain.set(drivername="postgresql+asyncpg"))
    return {
        **target.get_dialect()().create_connect_args(target)[1],
        **arguments,
        "timeout": PATIENCE,
        "command_timeout": PATIENCE,
        "server_settings": {"application_name": APPLICATION_NAME},
    }


async def _ring_without_the_disk(connection: Any) -> None:
    """Spares NOTIFY the wait for the disk at its commit. A crash that loses a ring also ends the
    sessions of all who listened."""
    await connection.execute("SET synchronous_commit = off")


async def _keep_session(_connection: object) -> None:
    """Replaces the pool's reset query, a round trip for each ring: NOTIFY changes no state."""
