"""Connections to PostgreSQL for reading that are kept ready, each with its driver at hand.

To take one from SQLAlchemy's pool and give it back costs a query more than the query itself: it
goes through greenlets four times. A lane is taken once, and then passed from reader to reader.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from db.errors import DatabaseUnavailableError

PATIENCE_SECONDS = 5.0
# Of the pool, for those who write.
RESERVED = 3


@dataclass(frozen=True, slots=True)
class Lane:
    connection: AsyncConnection
    driver: Any

    async def drop(self) -> None:
        """Nobody may get it again."""
        await self.connection.invalidate()
        await self.connection.close()


class ReadLanes:
    """Opens connections when they are first needed; no more than the pool can spare."""

    def __init__(self, engine: AsyncEngine, pool_size: int) -> None:
        self._engine = engine
        # Of a pool that is too small for both, writers must get what readers give back.
        self._keeps = pool_size > RESERVED
        self._free = asyncio.Semaphore(pool_size - RESERVED if self._keeps else pool_size)
        self._kept: list[Lane] = []

    async def close(self) -> None:
        while self._kept:
            await self._kept.pop().connection.close()

    @asynccontextmanager
    async def lane(self) -> AsyncIterator[Lane]:
        """Raises DatabaseUnavailableError when none becomes free for long, and what the driver
        raises. A lane in which something failed, or was cancelled, is not used again."""
        await self._wait()
        try:
            lane = await self._take()
            try:
                yield lane
                if lane.connection.in_transaction():
                    # SQLAlchemy was used, which thinks so even where every statement commits.
                    await lane.connection.rollback()
            except BaseException:
                await lane.drop()
                raise
            if self._keeps:
                self._kept.append(lane)
            else:
                await lane.connection.close()
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

    async def _take(self) -> Lane:
        while self._kept:
            lane = self._kept.pop()
            if not lane.driver.is_closed():
                return lane
            # Lost while it was not in use, such as by a restart of the server.
            await lane.drop()
        connection = await self._engine.connect()
        try:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            driver: Any = (await connection.get_raw_connection()).driver_connection
            if driver.is_closed():
                await connection.invalidate()
                driver = (await connection.get_raw_connection()).driver_connection
        except BaseException:
            await connection.close()
            raise
        return Lane(connection, driver)
