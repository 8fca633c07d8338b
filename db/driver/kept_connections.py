"""A pool of connections on top of SQLAlchemy's: an optimisation.

To take a connection from SQLAlchemy's pool and give it back costs a small query more than the
query itself: the way goes through greenlets four times, and on SQLite to another thread each time.
A kept connection is taken from there once, together with the driver's connection below it, and is
then passed from user to user.
"""

import asyncio
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from db.driver.engine import IS_IN_PLACE, SQLITE_READERS
from db.errors import DatabaseUnavailableError

PATIENCE_SECONDS = 5.0
INTERRUPT_SECONDS = 0.05


class KeptConnection(ABC):
    """A connection of SQLAlchemy and the driver's below it; in no transaction between two users."""

    def __init__(self, connection: AsyncConnection, driver: Any) -> None:
        self.connection = connection
        self.driver = driver

    @property
    @abstractmethod
    def usable(self) -> bool:
        """False when the connection was lost, by a restart of the server or with its file, or when
        a transaction in it could not be undone."""

    @abstractmethod
    async def begin(self) -> None:
        """Begins a transaction in which all statements read the same snapshot."""

    async def end(self) -> None:
        if self.connection.in_transaction():
            # SQLAlchemy believes so even where every statement commits by itself.
            await self.connection.rollback()

    async def close(self) -> None:
        await self.connection.invalidate()
        await self.connection.close()


class KeptPostgresConnection(KeptConnection):
    """A connection to PostgreSQL in which every statement commits by itself."""

    _transaction: Any = None

    @classmethod
    async def opened(cls, engine: AsyncEngine) -> "KeptPostgresConnection":
        connection = await engine.connect()
        try:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            driver: Any = (await connection.get_raw_connection()).driver_connection
            if driver.is_closed():
                await connection.invalidate()
                driver = (await connection.get_raw_connection()).driver_connection
        except BaseException:
            await connection.close()
            raise
        return cls(connection, driver)

    @property
    def usable(self) -> bool:
        return not (self.driver.is_closed() or self.driver.is_in_transaction())

    async def begin(self) -> None:
        transaction = self.driver.transaction(isolation="repeatable_read", readonly=True)
        await transaction.start()
        self._transaction = transaction

    async def end(self) -> None:
        await super().end()
        if self._transaction is not None:
            transaction, self._transaction = self._transaction, None
            await transaction.commit()


class KeptSqliteConnection(KeptConnection):
    """A connection that reads an SQLite file."""

    _is_in_place: Callable[[], bool]

    @classmethod
    async def opened(cls, engine: AsyncEngine) -> "KeptSqliteConnection":
        connection = await engine.connect()
        try:
            raw = await connection.get_raw_connection()
        except BaseException:
            await connection.close()
            raise
        kept = cls(connection, raw.driver_connection)
        kept._is_in_place = raw.info[IS_IN_PLACE]
        return kept

    @property
    def usable(self) -> bool:
        return self._is_in_place()

    async def begin(self) -> None:
        await self.connection.begin()

    async def close(self) -> None:
        """Closes the connection, and interrupts a statement that would run on in its thread because
        its user was cancelled."""
        closing = asyncio.create_task(super().close(), name="closing a connection")
        while not closing.done():
            with suppress(ValueError, sqlite3.ProgrammingError):  # it is closed by now
                await self.driver.interrupt()
            # An interrupt that comes before the statement has begun is lost: send it again.
            await asyncio.wait([closing], timeout=INTERRUPT_SECONDS)
        await closing


class ConnectionPool:
    """Opens connections when they are first needed, `size` of them at most."""

    def __init__(self, open_connection: Callable[[], Awaitable[KeptConnection]], size: int) -> None:
        self._open = open_connection
        self._free = asyncio.Semaphore(size)
        self._kept: list[KeptConnection] = []
        self.size = size
        self.in_use = 0

    async def close(self) -> None:
        """Closes the connections that are not in use, all at the same time."""
        while self._kept:
            kept, self._kept = self._kept, []
            await asyncio.gather(*(connection.close() for connection in kept))

    async def acquire(self) -> KeptConnection:
        """Returns a connection, which must be released, or discarded if something failed in it or
        was cancelled.

        Raises DatabaseUnavailableError if none becomes free within PATIENCE_SECONDS, and the
        driver's own errors.
        """
        await self._wait()
        self.in_use += 1
        try:
            while self._kept:
                connection = self._kept.pop()
                if connection.usable:
                    return connection
                await connection.close()
            return await self._open()
        except BaseException:
            self._give_back()
            raise

    async def release(self, connection: KeptConnection) -> None:
        try:
            await connection.end()
        except BaseException:
            await self.discard(connection)
            raise
        self._kept.append(connection)
        self._give_back()

    async def discard(self, connection: KeptConnection) -> None:
        """Closes the connection, so that nobody uses it again."""
        try:
            await connection.close()
        finally:
            self._give_back()

    def _give_back(self) -> None:
        self.in_use -= 1
        self._free.release()

    async def _wait(self) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._free.acquire()
        except TimeoutError as error:
            raise DatabaseUnavailableError(
                f"No connection became free within {PATIENCE_SECONDS:g} s."
            ) from error


def postgres_pool(engine: AsyncEngine, size: int) -> ConnectionPool:
    return ConnectionPool(lambda: KeptPostgresConnection.opened(engine), size)


def sqlite_pool(engine: AsyncEngine) -> ConnectionPool:
    """Returns a pool of connections that read."""
    return ConnectionPool(lambda: KeptSqliteConnection.opened(engine), SQLITE_READERS)
