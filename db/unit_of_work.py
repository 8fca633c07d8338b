"""Sessions on the database: reads that change nothing, and writes that commit as one.

A function that takes a ReadSession cannot write; one that takes a WriteSession never commits.
Committing is the unit of work's: it appends the session's changes to the feed, commits, and only
then rings the bell.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar, TypeVarTuple

import asyncpg  # type: ignore[import-untyped]  # it ships no types
from sqlalchemy import Executable, insert, select, update
from sqlalchemy.engine import CursorResult, Row
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import TypedReturnsRows

from db.engine import create_engines, is_sqlite
from db.errors import DatabaseUnavailableError
from db.models import Change, ChangeFacts, FeedHead
from db.vocabulary import EntryId, MemberId, Position

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


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
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def all(self, statement: TypedReturnsRows[*Ts]) -> Sequence[Row[*Ts]]:
        return (await self._connection.execute(statement)).all()

    async def first(self, statement: TypedReturnsRows[*Ts]) -> Row[*Ts] | None:
        return (await self._connection.execute(statement)).first()

    async def scalar(self, statement: TypedReturnsRows[T]) -> T | None:  # one column
        return await self._connection.scalar(statement)

    @property
    def on_sqlite(self) -> bool:
        return self._connection.dialect.name == "sqlite"


class WriteSession(ReadSession):
    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection)
        self._changes: list[NewChange] = []
        self.discarded = False

    def discard(self) -> None:
        """Nothing of what was written stays: the unit of work ends without a commit."""
        self.discarded = True

    async def run(
        self, statement: Executable, rows: Sequence[Mapping[str, Any]] | None = None
    ) -> CursorResult[Any]:
        return await self._connection.execute(statement, rows)

    def append(self, change: NewChange) -> None:
        self._changes.append(change)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Leaving with an exception undoes what was written, and the changes appended, inside."""
        kept = len(self._changes)
        try:
            with _driver_errors_translated():
                async with self._connection.begin_nested():
                    yield
        except BaseException:
            del self._changes[kept:]
            raise

    async def publish_changes(self, now: datetime) -> Position | None:
        """Gives the appended changes their positions. Last before commit: from here to the commit
        no other transaction can take one, so positions are in commit order."""
        if not self._changes:
            return None
        head = await self._connection.scalar(
            update(FeedHead)
            .values(position=FeedHead.position + len(self._changes))
            .returning(FeedHead.position)
        )
        if head is None:
            raise RuntimeError("The change feed has no head row; the migrations make it.")
        first = head - len(self._changes) + 1
        await self._connection.execute(
            insert(Change),
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
        with _driver_errors_translated():
            async with self._reader.connect() as connection:
                await connection.execution_options(**options)
                yield ReadSession(connection)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[WriteSession]:
        """Leaving it commits everything as one, then rings the bell; an exception undoes it all."""
        with _driver_errors_translated():
            async with self._writer.connect() as connection, connection.begin() as transaction:
                session = WriteSession(connection)
                yield session
                if session.discarded:
                    await transaction.rollback()
                    return
                position = await session.publish_changes(datetime.now(UTC))
        if position is not None:
            self._doorbell.ring(position)

    async def check(self) -> None:
        """Raises DatabaseUnavailableError when the database does not answer."""
        async with self.read() as session:
            await session.scalar(select(1))


# PostgreSQL's classes of errors that are no fault of the statement: connection exceptions,
# insufficient resources, operator intervention.
_PASSING = ("08", "53", "57")


@contextmanager
def _driver_errors_translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError, OSError) as error:
        raise DatabaseUnavailableError(str(error)) from error
    except (DBAPIError, asyncpg.PostgresError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        lost = isinstance(error, DBAPIError) and error.connection_invalidated
        if lost or str(getattr(cause, "sqlstate", None))[:2] in _PASSING:
            raise DatabaseUnavailableError(str(error)) from error
        raise
