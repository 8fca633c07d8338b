"""Sessions on the database: reads that change nothing, and writes that commit as one.

A function that takes a ReadSession cannot write; one that takes a WriteSession never commits.
Committing is the unit of work's: it appends the session's changes to the feed, commits, and only
then rings the bell.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, Protocol, TypeVar, TypeVarTuple, overload

from sqlalchemy import Executable, Integer, bindparam, insert, select, text, update
from sqlalchemy.engine import CursorResult, Row
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import TypedReturnsRows

from db.bulk import Parameters, Rows, bulk_delete, bulk_insert, bulk_update, update_each
from db.combined import Query, SqlRow, Write, fetch_together, write_together
from db.driver_errors import driver_errors_translated, taken_keys_translated
from db.engine import create_engines, is_sqlite
from db.hot import HotStatement
from db.models import Base, Change, ChangeFacts, FeedHead
from db.vocabulary import EntryId, MemberId, Position

T = TypeVar("T")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")
T5 = TypeVar("T5")
Ts = TypeVarTuple("Ts")


# Statements of the hot path are built once: building one costs more than running it.
_ADVANCE_HEAD = HotStatement(
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


class Transaction(Protocol):
    """Either SQLAlchemy's or the driver's."""

    async def commit(self) -> None: ...

    async def rollback(self) -> None: ...


class Doorbell(Protocol):
    """What the unit of work needs of the bell: say that there is something up to a position."""

    def ring(self, position: int) -> None: ...


@dataclass(frozen=True, slots=True)
class NewChange:
    """A change to be appended at commit; its position is given there."""

    member_id: MemberId | None = None
    entry_id: EntryId | None = None
    access_changed: bool = False
    facts: ChangeFacts = field(default_factory=ChangeFacts)


class ReadSession:
    """`driver` is the connection of the PostgreSQL driver below; SQLite needs none."""

    def __init__(self, connection: AsyncConnection, driver: Any = None) -> None:
        self._connection = connection
        self._driver = driver

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
            result = await self._connection.execute(statement.on_sqlite, parameters)
            return result.all() if result.returns_rows else ()
        return await statement.run(self._driver, parameters)

    @overload
    async def fetch(self, one: Query[T], /) -> tuple[T]: ...

    @overload
    async def fetch(self, one: Query[T], two: Query[T2], /) -> tuple[T, T2]: ...

    @overload
    async def fetch(
        self, one: Query[T], two: Query[T2], three: Query[T3], /
    ) -> tuple[T, T2, T3]: ...

    @overload
    async def fetch(
        self, one: Query[T], two: Query[T2], three: Query[T3], four: Query[T4], /
    ) -> tuple[T, T2, T3, T4]: ...

    @overload
    async def fetch(
        self, one: Query[T], two: Query[T2], three: Query[T3], four: Query[T4], five: Query[T5], /
    ) -> tuple[T, T2, T3, T4, T5]: ...

    async def fetch(self, *queries: Query[Any]) -> tuple[Any, ...]:
        """What several queries find, in one round trip where there are round trips."""
        await self._catch_up()
        if self._driver is None:
            found = [await self.hot(query.statement, query.parameters) for query in queries]
        else:
            found = await fetch_together(self._driver, queries)
        return tuple(query.read(rows) for query, rows in zip(queries, found, strict=True))

    async def _catch_up(self) -> None:
        """Before anything is read."""

    @property
    def on_sqlite(self) -> bool:
        return self._connection.dialect.name == "sqlite"


class WriteSession(ReadSession):
    """On PostgreSQL, what is to be written waits for the next statement that reads, or for the
    commit, so that it travels together. A broken constraint is noticed only then."""

    def __init__(self, connection: AsyncConnection, driver: Any = None) -> None:
        super().__init__(connection, driver)
        self._waiting: dict[tuple[str, type[Base]], Write] = {}
        self._changes: list[NewChange] = []
        self.discarded = False

    def discard(self) -> None:
        """Nothing of what was written stays: the unit of work ends without a commit."""
        self.discarded = True

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
                await self.run(insert(model), rows)
        elif rows:
            await self._write("insert", model, bulk_insert(model, rows))

    async def update(self, model: type[Base], rows: Rows) -> None:
        """`row_id` in each row says which one; the others are what it becomes."""
        if rows and self.on_sqlite:
            await self.run(update_each(model, rows), rows)
        elif rows:
            await self._write("update", model, bulk_update(model, rows))

    async def delete(self, model: type[Base], ids: Sequence[int]) -> None:
        if ids and self.on_sqlite:
            await self.hot(*bulk_delete(model, ids))
        elif ids:
            await self._write("delete", model, bulk_delete(model, ids))

    async def _write(
        self, kind: str, model: type[Base], write: tuple[HotStatement, Mapping[str, Any]]
    ) -> None:
        if (kind, model) in self._waiting:
            # It might concern the same rows, which one statement can change only once.
            await self._catch_up()
        self._waiting[kind, model] = Write(*write)

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
        if self._driver is None:
            return self._connection.begin_nested()
        nested: AbstractAsyncContextManager[Any] = self._driver.transaction()
        return nested

    async def publish_changes(self, now: datetime) -> Position | None:
        """Gives the appended changes their positions. Last before commit: from here to the commit
        no other transaction can take one, so positions are in commit order."""
        await self._catch_up()
        if not self._changes:
            return None
        rows = await self.hot(_ADVANCE_HEAD, {"count": len(self._changes)})
        if not rows:
            raise RuntimeError("The change feed has no head row; the migrations make it.")
        head: int = rows[0][0]
        first = head - len(self._changes) + 1
        await self.insert(
            Change,
            [
                {
                    "position": position,
                    "committed_at": now,
                    "member_id": change.member_id,
                    "entry_id": change.entry_id,
                    "access_changed": change.access_changed,
                    "facts": change.facts,
                }
                for position, change in enumerate(self._changes, start=first)
            ],
        )
        await self._catch_up()
        return Position(head)


class Database:
    """Sessions on one database. Opens connections when they are first needed."""

    def __init__(self, url: str, doorbell: Doorbell, *, pool_size: int = 10) -> None:
        self._reader, self._writer = create_engines(url, pool_size=pool_size)
        self._doorbell = doorbell
        self._on_sqlite = is_sqlite(url)

    async def close(self) -> None:
        await self._reader.dispose()
        await self._writer.dispose()

    @asynccontextmanager
    async def read(self, *, snapshot: bool = False) -> AsyncIterator[ReadSession]:
        """With `snapshot`, all statements see the same moment; without, each sees its own."""
        isolation = "REPEATABLE READ" if snapshot else "AUTOCOMMIT"
        options = {} if self._on_sqlite else {"isolation_level": isolation}
        with driver_errors_translated():
            async with self._reader.connect() as connection:
                await self._revive(connection)
                await connection.execution_options(**options)
                # A snapshot lives in a transaction of SQLAlchemy's, which the driver knows not of.
                direct = not (self._on_sqlite or snapshot)
                yield ReadSession(connection, await _driver_of(connection) if direct else None)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[WriteSession]:
        """Leaving it commits everything as one, then rings the bell; an exception undoes it all."""
        with driver_errors_translated():
            async with self._writer.connect() as connection, self._begun(connection) as work:
                session, transaction = work
                yield session
                if session.discarded:
                    await transaction.rollback()
                    return
                position = await session.publish_changes(datetime.now(UTC))
                await transaction.commit()
        if position is not None:
            self._doorbell.ring(position)

    @asynccontextmanager
    async def _begun(
        self, connection: AsyncConnection
    ) -> AsyncIterator[tuple[WriteSession, "Transaction"]]:
        if self._on_sqlite:
            transaction: Transaction = await connection.begin()
            driver = None
        else:
            await self._revive(connection)
            # The driver's own transaction, so that hot statements and others share it.
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            driver = await _driver_of(connection)
            transaction = driver.transaction()
            await transaction.start()  # type: ignore[attr-defined]  # of the driver
        try:
            yield WriteSession(connection, driver), transaction
        except BaseException:
            await transaction.rollback()
            raise
        finally:
            if driver is not None and (driver.is_closed() or driver.is_in_transaction()):
                # It could not even be rolled back: nobody may get this connection again.
                await connection.invalidate()

    async def _revive(self, connection: AsyncConnection) -> None:
        """A connection that was lost while it lay in the pool is replaced. That costs no round
        trip, and so a restart of the server is felt by those under way only."""
        if not self._on_sqlite and (await _driver_of(connection)).is_closed():
            await connection.invalidate()

    async def check(self) -> None:
        """Raises DatabaseUnavailableError when the database does not answer."""
        async with self.read() as session:
            await session.scalar(select(1))


async def _driver_of(connection: AsyncConnection) -> Any:
    return (await connection.get_raw_connection()).driver_connection
