"""Sessions: what a function may do within a transaction that is not its own.

A function that takes a ReadSession cannot write; one that takes a WriteSession never commits.
Committing is the unit of work's.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, TypeVarTuple

from sqlalchemy import Executable, Integer, bindparam, text, update
from sqlalchemy.engine import CursorResult, Row
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import TypedReturnsRows

from db.driver.bulk import (
    VERSION,
    Parameters,
    Rows,
    bulk_delete,
    bulk_insert,
    bulk_update,
    insert_each,
    update_each,
)
from db.driver.compiled_statements import HotStatement
from db.driver.driver_errors import driver_errors_translated, taken_keys_translated
from db.driver.locks import LockName, lock_keys, locking
from db.driver.round_trips import (
    Query,
    SqlRow,
    Write,
    fetch_in_turn,
    fetch_together,
    write_and_publish,
    write_if_unchanged,
    write_together,
)
from db.driver.transactions import nested
from db.errors import ConcurrentWriteError, SharedLockError
from db.tables.models import Base, Change, ChangeFacts, FeedHead
from db.vocabulary import EntryId, MemberId, Position

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


_HEAD_ON_SQLITE = HotStatement(
    update(FeedHead)
    .values(position=FeedHead.position + bindparam("count", type_=Integer))
    .returning(FeedHead.position)
)


@cache
def _next_ids(table: str) -> HotStatement:
    sequence = f"SELECT nextval('{table}_id_seq') FROM generate_series(1, CAST(:count AS int))"  # noqa: S608
    # There is one writer, so nobody takes them in between.
    numbers = "SELECT 1 WHERE :count > 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count"
    last = f"SELECT coalesce(max(id), 0) FROM {table}"  # noqa: S608
    counted = f"WITH RECURSIVE numbers(n) AS ({numbers}) SELECT n + ({last}) FROM numbers"  # noqa: S608
    return HotStatement(text(sequence), on_sqlite=text(counted))


def new_ids(table: type[Base], count: int) -> Query[list[int]]:
    """Ids for rows to be inserted. On PostgreSQL some may stay unused for ever."""
    return Query(_next_ids(table.__tablename__), {"count": count}, _first_column)


def _first_column(rows: Sequence[SqlRow]) -> list[int]:
    return [row[0] for row in rows]


@dataclass(frozen=True, slots=True)
class NewChange:
    """A change to be appended at commit; its position is given there."""

    member_id: MemberId | None = None
    entry_id: EntryId | None = None
    access_changed: bool = False
    facts: ChangeFacts = field(default_factory=ChangeFacts)


@dataclass(frozen=True, slots=True)
class CommittedChange:
    """The same with its place in the feed."""

    position: Position
    committed_at: datetime
    member_id: MemberId | None
    entry_id: EntryId | None
    access_changed: bool
    facts: ChangeFacts


class ReadSession:
    """`driver` is the connection of the PostgreSQL driver below, or `sqlite` that of SQLite's."""

    def __init__(self, connection: AsyncConnection, driver: Any = None, sqlite: Any = None) -> None:
        self._connection = connection
        self._driver = driver
        self._sqlite = sqlite

    async def all(
        self, statement: TypedReturnsRows[*Ts], parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Row[*Ts]]:
        await self._catch_up()
        return (await self._connection.execute(statement, parameters)).all()

    async def first(
        self, statement: TypedReturnsRows[*Ts], parameters: Mapping[str, Any] | None = None
    ) -> Row[*Ts] | None:
        await self._catch_up()
        return (await self._connection.execute(statement, parameters)).first()

    async def scalar(self, statement: TypedReturnsRows[T]) -> T | None:  # one column
        await self._catch_up()
        return await self._connection.scalar(statement)

    async def hot(self, statement: HotStatement, parameters: Mapping[str, Any]) -> Sequence[SqlRow]:
        """The rows of a statement of the hot path, by position."""
        await self._catch_up()
        if self._driver is None:
            return await statement.run_on_sqlite(self._sqlite, parameters)
        return await statement.run(self._driver, parameters)

    async def fetch(self, *queries: Query[Any]) -> None:
        """Answers the queries, in one round trip."""
        await self._catch_up()
        if self._driver is None:
            await fetch_in_turn(self._sqlite, queries)
        else:
            await fetch_together(self._driver, queries)

    async def find(self, query: Query[T]) -> T:
        await self.fetch(query)
        return query.found

    async def _catch_up(self) -> None:
        """Before anything is read."""

    @property
    def on_sqlite(self) -> bool:
        return self._connection.dialect.name == "sqlite"


class WriteSession(ReadSession):
    """On PostgreSQL, what is to be written waits for the next statement that reads, or for the
    commit, so that it travels together. A broken constraint is noticed only then."""

    def __init__(
        self,
        connection: AsyncConnection,
        driver: Any = None,
        sqlite: Any = None,
        holding: Collection[LockName] = (),
    ) -> None:
        super().__init__(connection, driver, sqlite)
        self._held = set(holding)
        self._waiting: dict[tuple[str, type[Base]], Write] = {}
        self._changes: list[NewChange] = []
        self.discarded = False

    def discard(self) -> None:
        """Nothing of what was written stays: the unit of work ends without a commit."""
        self.discarded = True

    async def hold(self, names: Collection[LockName]) -> None:
        """Waits until nobody else holds these locks, and then holds them until the end. What they
        protect is to be read only after that."""
        missing = set(names) - self._held
        if missing and self._driver is not None:
            await self._driver.execute(locking(missing))
        self._held |= missing

    def require(self, names: Collection[LockName]) -> None:
        """Raises SharedLockError if what one of them protects may not be changed."""
        if self._driver is not None and not self._held.issuperset(names):
            raise SharedLockError("A lock that is needed is not held alone.")

    def require_locked_rows(self) -> None:
        """Raises ConcurrentWriteError if others may write what was read for update."""

    async def run(
        self, statement: Executable, parameters: Parameters | None = None
    ) -> CursorResult[Any]:
        await self._catch_up()
        return await self._connection.execute(statement, parameters)

    async def insert(self, model: type[Base], rows: Rows) -> None:
        """ConcurrentWriteError, raised when it is sent, means that another process wrote a row of
        the same key first."""
        if rows and self.on_sqlite:
            with taken_keys_translated():
                await insert_each(model, rows).run_each_on_sqlite(self._sqlite, rows)
        elif rows:
            await self._write("insert", model, Write(*bulk_insert(model, rows)))

    async def update(
        self, model: type[Base], rows: Rows, *, versions: Sequence[int | None] | None = None
    ) -> None:
        """`row_id` in each row says which one; the others are what it becomes.

        `versions`: of the rows when they were read. They matter where nothing was locked.
        """
        if rows and self.on_sqlite:
            await update_each(model, rows).run_each_on_sqlite(self._sqlite, rows)
        elif rows:
            await self._write("update", model, self._update_of(model, rows, versions))

    def _update_of(
        self, model: type[Base], rows: Rows, _versions: Sequence[int | None] | None
    ) -> Write:
        return Write(*bulk_update(model, rows))

    async def rewrite(self, model: type[Base], write: Write) -> None:
        """On PostgreSQL, an update that tells itself what becomes of the rows. They are none of
        those that are updated by what waits already."""
        await self._write("rewrite", model, write)

    async def delete(self, model: type[Base], ids: Sequence[int]) -> None:
        """Their keys are free for others once something was read."""
        if ids and self.on_sqlite:
            await self.hot(*bulk_delete(model, ids))
        elif ids:
            await self._write("delete", model, Write(*bulk_delete(model, ids)))

    async def _write(self, kind: str, model: type[Base], write: Write) -> None:
        # Together, each is run on the rows of before: one row can be changed only once, and what is
        # inserted can not be changed at all.
        if (kind, model) in self._waiting or ("insert", model) in self._waiting:
            await self._catch_up()
        self._waiting[kind, model] = write

    async def _catch_up(self) -> None:
        if self._waiting:
            writes, self._waiting = list(self._waiting.values()), {}
            with taken_keys_translated():
                await write_together(self._driver, writes)

    def append(self, change: NewChange) -> None:
        self._changes.append(change)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Leaving with an exception undoes what was written, and the changes appended, inside."""
        await self._catch_up()
        kept = len(self._changes)
        try:
            with driver_errors_translated():
                async with self._nested():
                    yield
                    await self._catch_up()
        except BaseException:
            self._waiting.clear()
            del self._changes[kept:]
            raise

    def _nested(self) -> AbstractAsyncContextManager[Any]:
        return self._connection.begin_nested() if self._driver is None else nested(self._driver)

    async def publish_changes(self, now: datetime) -> list[CommittedChange]:
        """Gives the appended changes their positions. Last before commit: from here to the commit
        no other transaction can take one, so positions are in commit order."""
        if not self._changes:
            await self._catch_up()
            return []
        changes, self._changes = self._changes, []
        rows = [
            {
                "committed_at": now,
                "member_id": change.member_id,
                "entry_id": change.entry_id,
                "access_changed": change.access_changed,
                "facts": change.facts,
            }
            for change in changes
        ]
        if self._driver is None:
            head = await self._publish_on_sqlite(rows)
        else:
            writes, self._waiting = list(self._waiting.values()), {}
            with taken_keys_translated():
                head = await self._publish(writes, rows)
        if head is None:
            raise RuntimeError("The change feed has no head row; the migrations make it.")
        first = head - len(changes) + 1
        return [
            CommittedChange(
                Position(first + n),
                now,
                change.member_id,
                change.entry_id,
                change.access_changed,
                change.facts,
            )
            for n, change in enumerate(changes)
        ]

    async def _publish(self, writes: Sequence[Write], changes: Rows) -> int | None:
        return await write_and_publish(self._driver, writes, changes)

    async def _publish_on_sqlite(self, changes: Rows) -> int | None:
        moved = await self.hot(_HEAD_ON_SQLITE, {"count": len(changes)})
        head: int | None = moved[0][0] if moved else None
        if head is not None:
            first = head - len(changes) + 1
            rows = [{"position": first + n, **change} for n, change in enumerate(changes)]
            await self.insert(Change, rows)
        return head


class OptimisticSession(WriteSession):
    """On PostgreSQL, without a transaction around it: what is written travels as one statement at
    the end, which commits by itself.

    Nothing is locked before. The statement takes the locks if they are free, and writes only if
    what was read is as it was; otherwise it raises ConcurrentWriteError, as does whatever needs
    more than that.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        driver: Any,
        alone: Collection[LockName],
        shared: Collection[LockName],
    ) -> None:
        super().__init__(connection, driver)
        self._locks = lock_keys(alone, shared)

    async def hold(self, names: Collection[LockName]) -> None:
        self.require(names)

    def require_locked_rows(self) -> None:
        raise ConcurrentWriteError("What was read is not locked.")

    def _update_of(
        self, model: type[Base], rows: Rows, versions: Sequence[int | None] | None
    ) -> Write:
        if versions is None:
            return super()._update_of(model, rows, versions)
        given = [{**row, VERSION: version} for row, version in zip(rows, versions, strict=True)]
        return Write(*bulk_update(model, given), expected=len(rows))

    async def _catch_up(self) -> None:
        if self._waiting:
            raise ConcurrentWriteError("It takes more than one statement to write this.")

    async def _publish(self, writes: Sequence[Write], changes: Rows) -> int | None:
        return await write_if_unchanged(self._driver, self._locks, writes, changes)
