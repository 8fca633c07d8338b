"""Sessions: what a function may do within a transaction that its caller began.

A function that takes a ReadSession cannot write; one that takes a WriteSession cannot commit.
Committing belongs to the unit of work (`db.database`).
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar, TypeVarTuple

from sqlalchemy import Executable
from sqlalchemy.engine import CursorResult, Row
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import TypedReturnsRows

from db.driver.driver_errors import driver_errors_translated, taken_keys_translated
from db.driver.locks import LockName
from db.driver.statements.bulk import Parameters, Rows
from db.driver.statements.compiled_statements import CompiledStatement, SqlRow
from db.driver.statements.round_trips import Query, Write, fetch_queries
from db.publication import CommittedChange, NewChange, change_rows, committed_changes
from db.tables.models import Base

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class ReadSession:
    """Reads over SQLAlchemy's connection, or directly over the driver's connection below it."""

    def __init__(self, connection: AsyncConnection, driver: Any) -> None:
        self._connection = connection
        self._driver = driver

    async def all(
        self, statement: TypedReturnsRows[*Ts], parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Row[*Ts]]:
        await self._send_waiting()
        return (await self._connection.execute(statement, parameters)).all()

    async def first(
        self, statement: TypedReturnsRows[*Ts], parameters: Mapping[str, Any] | None = None
    ) -> Row[*Ts] | None:
        await self._send_waiting()
        return (await self._connection.execute(statement, parameters)).first()

    async def scalar(self, statement: TypedReturnsRows[T]) -> T | None:
        """Returns the only column of the first row; None without rows."""
        await self._send_waiting()
        return await self._connection.scalar(statement)

    async def rows(
        self, statement: CompiledStatement, parameters: Mapping[str, Any]
    ) -> Sequence[SqlRow]:
        """Returns the rows of a compiled statement, as sequences in the order of its columns."""
        await self._send_waiting()
        return await statement.run(self._driver, parameters)

    async def fetch(self, *queries: Query[Any]) -> None:
        """Gives the queries their rows, in one round trip for all of them."""
        await self._send_waiting()
        await fetch_queries(self._driver, queries)

    async def find(self, query: Query[T]) -> T:
        await self.fetch(query)
        return query.found

    async def _send_waiting(self) -> None:
        """Sends what waits to be written, so that whatever is read next sees it."""

    @property
    def on_sqlite(self) -> bool:
        return self._connection.dialect.name == "sqlite"


class WriteSession(ReadSession, ABC):
    """A session that also writes. `db.write_sessions` has one for each way of writing."""

    def __init__(self, connection: AsyncConnection, driver: Any) -> None:
        super().__init__(connection, driver)
        self._changes: list[NewChange] = []
        self.discarded = False
        self.removes_for_good = False

    def discard(self) -> None:
        """Makes the unit of work end without a commit: nothing of what was written stays."""
        self.discarded = True

    @abstractmethod
    async def lock(self, names: Collection[LockName]) -> None:
        """Takes these locks exclusively and holds them to the end of the transaction.

        Waits while others hold one. Read what the locks protect only afterwards.
        """

    @abstractmethod
    def require_locked(self, names: Collection[LockName]) -> None:
        """Raises SharedLockError unless this session holds all these locks exclusively."""

    @abstractmethod
    def require_locked_rows(self) -> None:
        """Raises ConcurrentWriteError if rows that were read for update are not locked."""

    async def overwrite_removed(self) -> None:
        """Takes what was removed out of the files that hold earlier versions of it; called after
        the commit of a session that `removes_for_good`."""

    async def run(
        self, statement: Executable, parameters: Parameters | None = None
    ) -> CursorResult[Any]:
        """Runs a statement that writes.

        ConcurrentWriteError means that another process wrote a row of the same key first.
        """
        await self._send_waiting()
        with taken_keys_translated():
            return await self._connection.execute(statement, parameters)

    @abstractmethod
    async def insert(self, model: type[Base], rows: Rows) -> None:
        """Inserts rows, which all have the same columns.

        ConcurrentWriteError, raised when they are sent, means that another process wrote a row of
        the same key first.
        """

    @abstractmethod
    async def update(
        self, model: type[Base], rows: Rows, *, versions: Sequence[int | None] | None = None
    ) -> None:
        """Updates the row with the id `row_id` to the other values, for each of `rows`.

        `versions` are those of the rows when they were read. They are compared only by a session
        that has not locked what it read.
        """

    @abstractmethod
    async def rewrite(self, model: type[Base], write: Write) -> None:
        """Runs an update of its own kind, on PostgreSQL only. It must not concern rows that an
        `update` which still waits concerns."""

    @abstractmethod
    async def delete(self, model: type[Base], ids: Sequence[int]) -> None:
        """Deletes rows. Their keys may be used again once something was read."""

    def append(self, change: NewChange) -> None:
        """Appends a change to the feed, at commit."""
        self._changes.append(change)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Leaving it with an exception undoes what was written and appended inside."""
        await self._send_waiting()
        kept = len(self._changes)
        try:
            with driver_errors_translated():
                async with self._nested():
                    yield
                    await self._send_waiting()
        except BaseException:
            self._forget_waiting()
            del self._changes[kept:]
            raise

    async def publish_changes(self, now: datetime) -> list[CommittedChange]:
        """Gives the appended changes their positions; called last before the commit.

        From here to the commit no other transaction can take a position, so positions are in the
        order of commits.
        """
        if not self._changes:
            await self._send_waiting()
            return []
        changes, self._changes = self._changes, []
        last = await self._publish(change_rows(changes, now))
        return committed_changes(changes, now, last)

    @abstractmethod
    def _nested(self) -> AbstractAsyncContextManager[Any]: ...

    @abstractmethod
    async def _publish(self, changes: Rows) -> int | None:
        """Writes the rows of the feed and returns the position of the last one."""

    def _forget_waiting(self) -> None:
        """Drops what waits to be written."""
