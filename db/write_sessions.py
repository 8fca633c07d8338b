"""The three ways of writing: on SQLite, on PostgreSQL, and on PostgreSQL without locks in advance.

On PostgreSQL, writes wait for the next statement that reads, or for the commit, and then travel
together in one round trip. A broken constraint is therefore noticed only at that point.
"""

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from db.driver.driver_errors import taken_keys_translated
from db.driver.locks import LockName, lock_keys, locking
from db.driver.statements.bulk import (
    VERSION,
    Rows,
    bulk_delete,
    bulk_insert,
    bulk_update,
    insert_each,
    update_each,
)
from db.driver.statements.round_trips import Write, write_together
from db.driver.transactions import nested
from db.errors import ConcurrentWriteError, SharedLockError
from db.publication import publish_on_sqlite, write_and_publish, write_if_unchanged
from db.sessions import WriteSession
from db.tables.models import Base


class SqliteWriteSession(WriteSession):
    """Writes at once. There is a single writer, so there is nothing to lock."""

    async def lock(self, names: Collection[LockName]) -> None:
        """Does nothing: nobody else writes."""

    def require_locked(self, names: Collection[LockName]) -> None:
        """Does nothing: nobody else writes."""

    def require_locked_rows(self) -> None:
        """Does nothing: nobody else writes."""

    async def insert(self, model: type[Base], rows: Rows) -> None:
        if rows:
            with taken_keys_translated():
                await insert_each(model, rows).run_each_on_sqlite(self._driver, rows)

    async def update(
        self, model: type[Base], rows: Rows, *, versions: Sequence[int | None] | None = None
    ) -> None:
        if rows:
            await update_each(model, rows).run_each_on_sqlite(self._driver, rows)

    async def rewrite(self, model: type[Base], write: Write) -> None:
        raise NotImplementedError(f"Update {model.__tablename__} with `update` on SQLite.")

    async def delete(self, model: type[Base], ids: Sequence[int]) -> None:
        if ids:
            await self.rows(*bulk_delete(model, ids))

    async def overwrite_removed(self) -> None:
        # The log of writes holds pages as they were before. A reader who needs them is waited for
        # half a second; after that, they go with a later checkpoint.
        await self._driver.fetch(
            ("PRAGMA busy_timeout=500", ()),
            ("PRAGMA wal_checkpoint(TRUNCATE)", ()),
            ("PRAGMA busy_timeout=10000", ()),
        )

    def _nested(self) -> AbstractAsyncContextManager[Any]:
        return self._connection.begin_nested()

    async def _publish(self, changes: Rows) -> int | None:
        return await publish_on_sqlite(self._driver, changes)


class PostgresWriteSession(WriteSession):
    """Writes within a transaction that holds its locks from the beginning."""

    def __init__(
        self, connection: AsyncConnection, driver: Any, exclusive: Collection[LockName]
    ) -> None:
        super().__init__(connection, driver)
        self._locked = set(exclusive)
        self._waiting: dict[tuple[str, type[Base]], Write] = {}

    async def lock(self, names: Collection[LockName]) -> None:
        missing = set(names) - self._locked
        if missing:
            await self._driver.execute(locking(missing))
        self._locked |= missing

    def require_locked(self, names: Collection[LockName]) -> None:
        if not self._locked.issuperset(names):
            raise SharedLockError("A lock that must be held exclusively is shared or not held.")

    def require_locked_rows(self) -> None:
        """Does nothing: SELECT … FOR UPDATE has locked them."""

    async def insert(self, model: type[Base], rows: Rows) -> None:
        if rows:
            await self._add("insert", model, Write(*bulk_insert(model, rows)))

    async def update(
        self, model: type[Base], rows: Rows, *, versions: Sequence[int | None] | None = None
    ) -> None:
        if rows:
            await self._add("update", model, self._update_of(model, rows, versions))

    async def rewrite(self, model: type[Base], write: Write) -> None:
        await self._add("rewrite", model, write)

    async def delete(self, model: type[Base], ids: Sequence[int]) -> None:
        if ids:
            await self._add("delete", model, Write(*bulk_delete(model, ids)))

    def _update_of(
        self, model: type[Base], rows: Rows, _versions: Sequence[int | None] | None
    ) -> Write:
        return Write(*bulk_update(model, rows))

    async def _add(self, kind: str, model: type[Base], write: Write) -> None:
        """Adds a write to those that wait.

        The parts of a statement all see the rows of before it: it cannot change one row twice, nor
        change what it inserts. A second write of the same kind, or one after an insert into the
        same table, has to wait until the others were sent.
        """
        if (kind, model) in self._waiting or ("insert", model) in self._waiting:
            await self._send_waiting()
        self._waiting[kind, model] = write

    async def _send_waiting(self) -> None:
        if writes := self._take_waiting():
            with taken_keys_translated():
                await write_together(self._driver, writes)

    def _take_waiting(self) -> list[Write]:
        writes = list(self._waiting.values())
        self._waiting.clear()
        return writes

    def _forget_waiting(self) -> None:
        self._waiting.clear()

    def _nested(self) -> AbstractAsyncContextManager[Any]:
        return nested(self._driver)

    async def _publish(self, changes: Rows) -> int | None:
        with taken_keys_translated():
            return await write_and_publish(self._driver, self._take_waiting(), changes)


class OptimisticWriteSession(PostgresWriteSession):
    """Writes without a transaction: an optimisation that saves two round trips of four.

    Nothing is locked while it reads. What is written travels as one statement at the end, which
    commits by itself: it takes the locks if they are free, and writes only if what was read has
    not changed. Otherwise it raises ConcurrentWriteError, as does whatever needs more than one
    statement; the caller then starts again with a transaction (ADR 0026).
    """

    def __init__(
        self,
        connection: AsyncConnection,
        driver: Any,
        exclusive: Collection[LockName],
        shared: Collection[LockName],
    ) -> None:
        # It holds nothing while it runs, so that whatever requires a lock raises SharedLockError.
        super().__init__(connection, driver, exclusive=())
        self._locks = lock_keys(exclusive, shared)

    async def lock(self, names: Collection[LockName]) -> None:
        self.require_locked(names)

    def require_locked_rows(self) -> None:
        raise ConcurrentWriteError("Rows that were read for update are not locked.")

    def _update_of(
        self, model: type[Base], rows: Rows, versions: Sequence[int | None] | None
    ) -> Write:
        if versions is None:
            return super()._update_of(model, rows, versions)
        given = [{**row, VERSION: version} for row, version in zip(rows, versions, strict=True)]
        return Write(*bulk_update(model, given), expected=len(rows))

    async def _send_waiting(self) -> None:
        if self._waiting:
            raise ConcurrentWriteError("The writes do not fit into one statement.")

    async def _publish(self, changes: Rows) -> int | None:
        with taken_keys_translated():
            return await write_if_unchanged(
                self._driver, self._locks, self._take_waiting(), changes
            )
