"""Transactions on SQLite and PostgreSQL, begun with as few round trips as possible."""

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
        """Undoes the transaction; does nothing for one that could not begin."""
        ...


class SqliteTransaction:
    """A transaction of the single writer, so there is nothing to lock."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._transaction: AsyncTransaction | None = None

    async def begin(self) -> None:
        self._transaction = await self._connection.begin()

    async def commit(self) -> None:
        if self._transaction is not None:
            await self._transaction.commit()

    async def rollback(self) -> None:
        if self._transaction is not None:
            await self._transaction.rollback()


class PostgresTransaction:
    """A transaction that begins and takes its locks in one round trip; asyncpg's own needs two."""

    def __init__(self, driver: asyncpg.Connection) -> None:
        self._driver = driver

    async def begin(self, exclusive: Collection[LockName], shared: Collection[LockName]) -> None:
        locks = f"; {locking(exclusive, shared)}" if exclusive or shared else ""
        try:
            await self._driver.execute(f"BEGIN{locks}")
        except asyncpg.LockNotAvailableError:
            raise ConcurrentWriteError(
                "A lock was not released within lock_timeout; another transaction holds it."
            ) from None

    async def commit(self) -> None:
        # For a failed transaction PostgreSQL answers ROLLBACK, which is not an error to the driver.
        if (done := await self._driver.execute("COMMIT")) != "COMMIT":
            raise RuntimeError(f"PostgreSQL answered COMMIT with {done}.")

    async def rollback(self) -> None:
        if not self._driver.is_closed() and self._driver.is_in_transaction():
            await self._driver.execute("ROLLBACK")


class SingleStatementTransaction:
    """A single statement, which PostgreSQL commits by itself."""

    def __init__(self, driver: asyncpg.Connection) -> None:
        self._driver = driver

    async def commit(self) -> None:
        """Checks that no transaction is open, within which the statement would not be committed."""
        if self._driver.is_in_transaction():
            raise RuntimeError("A transaction is open on a connection that should have none.")

    async def rollback(self) -> None:
        """Does nothing: the statement was not sent, or PostgreSQL has undone it."""


@asynccontextmanager
async def nested(driver: asyncpg.Connection) -> AsyncIterator[None]:
    """A savepoint: leaving it with an exception undoes what was done inside."""
    name = f"savepoint_{next(_savepoints)}"
    await driver.execute(f"SAVEPOINT {name}")
    try:
        yield
    except BaseException:
        if not driver.is_closed():
            await driver.execute(f"ROLLBACK TO SAVEPOINT {name}")
        raise
    await driver.execute(f"RELEASE SAVEPOINT {name}")
