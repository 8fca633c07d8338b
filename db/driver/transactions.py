"""Transactions, as the two drivers have them."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from itertools import count
from typing import Protocol

import asyncpg  # type: ignore[import-untyped]  # it ships no types
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncTransaction

from db.driver.locks import LockName, locking
from db.errors import ConcurrentWriteError

_savepoints = count(1)


class Transaction(Protocol):
    async def commit(self) -> None: ...

    async def rollback(self) -> None:
        """Also of one that could not begin."""
        ...


class SqliteTransaction:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._transaction: AsyncTransaction | None = None

    async def begin(self) -> None:
        """Nobody else writes, so there is nothing to lock."""
        self._transaction = await self._connection.begin()

    async def commit(self) -> None:
        if self._transaction is not None:
            await self._transaction.commit()

    async def rollback(self) -> None:
        if self._transaction is not None:
            await self._transaction.rollback()


class PostgresTransaction:
    """The driver's own would take a round trip to begin before the one that takes the locks."""

    def __init__(self, driver: asyncpg.Connection) -> None:
        self._driver = driver

    async def begin(self, alone: Collection[LockName], shared: Collection[LockName]) -> None:
        locks = f"; {locking(alone, shared)}" if alone or shared else ""
        try:
            await self._driver.execute(f"BEGIN{locks}")
        except asyncpg.LockNotAvailableError as error:
            raise ConcurrentWriteError("Somebody else holds a lock for long.") from error

    async def commit(self) -> None:
        # PostgreSQL rolls back what had failed, and calls that no error.
        if (done := await self._driver.execute("COMMIT")) != "COMMIT":
            raise RuntimeError(f"PostgreSQL answered a commit with {done}.")

    async def rollback(self) -> None:
        if not self._driver.is_closed() and self._driver.is_in_transaction():
            await self._driver.execute("ROLLBACK")


class OneStatement:
    """What commits by itself."""

    def __init__(self, driver: asyncpg.Connection) -> None:
        self._driver = driver

    async def commit(self) -> None:
        """It has, if nobody left a transaction open around it."""
        if self._driver.is_in_transaction():
            raise RuntimeError("What was to commit by itself is within a transaction.")

    async def rollback(self) -> None:
        """It was not sent, or PostgreSQL has undone it."""


@asynccontextmanager
async def nested(driver: asyncpg.Connection) -> AsyncIterator[None]:
    """Leaving it with an exception undoes what was done inside."""
    name = f"savepoint_{next(_savepoints)}"
    await driver.execute(f"SAVEPOINT {name}")
    try:
        yield
    except BaseException:
        if not driver.is_closed():
            await driver.execute(f"ROLLBACK TO SAVEPOINT {name}")
        raise
    await driver.execute(f"RELEASE SAVEPOINT {name}")
