"""Connections that are kept ready, each with its driver at hand.

To take one from SQLAlchemy's pool and give it back costs a query more than the query itself: it
goes through greenlets four times, and on SQLite from thread to thread each time. A lane is taken
once, and then passed from user to user.
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


class Lane(ABC):
    """Between two users, it is in no transaction."""

    def __init__(self, connection: AsyncConnection, driver: Any) -> None:
        self.connection = connection
        self.driver = driver

    @property
    @abstractmethod
    def usable(self) -> bool:
        """False when it was lost, such as by a restart of the server or with its file, or when what
        was begun in it could not be undone."""

    @abstractmethod
    async def begin(self) -> None:
        """From here to the end, all statements see the same moment."""

    async def end(self) -> None:
        if self.connection.in_transaction():
            # SQLAlchemy was used, which thinks so even where every statement commits.
            await self.connection.rollback()

    async def drop(self) -> None:
        """Nobody may get it again."""
        await self.connection.invalidate()
        await self.connection.close()


class PostgresLane(Lane):
    _transaction: Any = None

    @classmethod
    async def opened(cls, engine: AsyncEngine) -> "PostgresLane":
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


class SqliteLane(Lane):
    _is_in_place: Callable[[], bool]

    @classmethod
    async def opened(cls, engine: AsyncEngine) -> "SqliteLane":
        connection = await engine.connect()
        try:
            raw = await connection.get_raw_connection()
        except BaseException:
            await connection.close()
            raise
        lane = cls(connection, raw.driver_connection)
        lane._is_in_place = raw.info[IS_IN_PLACE]
        return lane

    @property
    def usable(self) -> bool:
        return self._is_in_place()

    async def begin(self) -> None:
        await self.connection.begin()

    async def drop(self) -> None:
        """What somebody waited for and no longer does is ended; it would run on in its thread."""
        dropping = asyncio.create_task(super().drop(), name="closing a connection")
        while not dropping.done():
            with suppress(ValueError, sqlite3.ProgrammingError):  # it is closed by now
                await self.driver.interrupt()
            # Only a statement that has begun hears of it.
            await asyncio.wait([dropping], timeout=INTERRUPT_SECONDS)
        await dropping


class Lanes:
    """Opens connections when they are first needed; no more than `most`."""

    def __init__(self, open_lane: Callable[[], Awaitable[Lane]], most: int) -> None:
        self._open = open_lane
        self._free = asyncio.Semaphore(most)
        self._kept: list[Lane] = []

    async def close(self) -> None:
        """Those in use are left alone. A server that does not answer is not waited for long, and
        for all of them at the same time."""
        while self._kept:
            kept, self._kept = self._kept, []
            await asyncio.gather(*(lane.drop() for lane in kept))

    async def take(self) -> Lane:
        """To be given back, or dropped if something failed in it or was cancelled. Raises
        DatabaseUnavailableError when none becomes free for long, and what the driver raises."""
        await self._wait()
        try:
            while self._kept:
                lane = self._kept.pop()
                if lane.usable:
                    return lane
                await lane.drop()
            return await self._open()
        except BaseException:
            self._free.release()
            raise

    async def give_back(self, lane: Lane) -> None:
        try:
            await lane.end()
        except BaseException:
            await self.drop(lane)
            raise
        self._kept.append(lane)
        self._free.release()

    async def drop(self, lane: Lane) -> None:
        try:
            await lane.drop()
        finally:
            self._free.release()

    async def _wait(self) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._free.acquire()
        except TimeoutError as error:
            raise DatabaseUnavailableError("No connection became free in time.") from error


def postgres_lanes(engine: AsyncEngine, most: int) -> Lanes:
    return Lanes(lambda: PostgresLane.opened(engine), most)


def sqlite_lanes(engine: AsyncEngine) -> Lanes:
    """For those who read."""
    return Lanes(lambda: SqliteLane.opened(engine), SQLITE_READERS)
