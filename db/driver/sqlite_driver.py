"""aiosqlite with one trip to the connection's thread for each statement: an optimisation.

aiosqlite itself makes four: to open a cursor, run the statement, fetch its rows and close the
cursor. Each of them takes longer than most of our statements do.
"""

import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from operator import methodcaller
from typing import Any, Self, TypeVar

from aiosqlite import Connection

# At DEBUG it logs every statement with its parameters, which are personal data.
logging.getLogger("aiosqlite").setLevel(logging.INFO)

T = TypeVar("T")
Parameters = Iterable[Any]
Statement = Callable[[sqlite3.Cursor], Any]


class OneTripCursor:
    """The part of a cursor that SQLAlchemy uses; it fetches the rows with the statement."""

    def __init__(self, connection: "OneTripConnection") -> None:
        self._connection = connection
        self._rows: Sequence[Any] = ()
        self.description: Sequence[Any] | None = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, operation: str, parameters: Parameters = ()) -> Self:
        return await self._run(methodcaller("execute", operation, parameters))

    async def executemany(self, operation: str, parameters: Iterable[Parameters]) -> Self:
        return await self._run(methodcaller("executemany", operation, parameters))

    async def _run(self, statement: Statement) -> Self:
        cursor, self._rows = await self._connection.run(statement)
        self.description, self.rowcount = cursor.description, cursor.rowcount
        self.lastrowid = cursor.lastrowid
        return self

    async def fetchall(self) -> Sequence[Any]:
        rows, self._rows = self._rows, ()
        return rows

    async def close(self) -> None:
        self._rows = ()


class OneTripConnection(Connection):
    """A connection of aiosqlite whose cursors make one trip."""

    def cursor(self) -> OneTripCursor:  # type: ignore[override]  # nobody else asks it for one
        return OneTripCursor(self)

    async def run(self, statement: Statement) -> tuple[sqlite3.Cursor, Sequence[Any]]:
        """Runs the statement and returns its cursor, which is closed, and its rows."""
        return await self._in_thread(partial(_run, statement, self._conn))

    async def fetch(self, *statements: tuple[str, Sequence[Any]]) -> list[Sequence[Any]]:
        """Returns the rows of each statement; makes one trip for all of them."""
        connection = self._conn

        def rows() -> list[Sequence[Any]]:
            return [
                _run(methodcaller("execute", sql, arguments), connection)[1]
                for sql, arguments in statements
            ]

        return await self._in_thread(rows)

    async def run_each(self, sql: str, arguments: Sequence[Sequence[Any]]) -> None:
        await self.run(methodcaller("executemany", sql, arguments))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        found: T = await self._execute(work)  # type: ignore[no-untyped-call]  # aiosqlite left it bare
        return found


def connected(database: str, **options: Any) -> Connection:
    """Returns a connection for `async_creator_fn` of SQLAlchemy's dialect, which awaits it."""
    if not options.get("uri"):
        _create_private(database)
    connection = OneTripConnection(partial(sqlite3.connect, database, **options), 0)
    # As in SQLAlchemy: the program may end although a connection was never closed.
    connection._thread.daemon = True  # noqa: SLF001
    return connection


def _create_private(database: str) -> None:
    """Creates a missing file that only its owner can read. SQLite gives the -wal and -shm files the
    same mode; a file that it creates itself would have that of the umask."""
    with suppress(OSError):  # SQLite says what is wrong with the place
        os.close(os.open(database, os.O_CREAT | os.O_EXCL, 0o600))


def _run(
    statement: Statement, connection: sqlite3.Connection
) -> tuple[sqlite3.Cursor, Sequence[Any]]:
    cursor = connection.cursor()
    try:
        statement(cursor)
        return cursor, cursor.fetchall() if cursor.description else ()
    finally:
        cursor.close()
