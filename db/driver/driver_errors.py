"""What the drivers raise, as the errors that the rest of the program knows."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg  # type: ignore[import-untyped]  # it ships no types
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from db.errors import ConcurrentWriteError, DatabaseUnavailableError

# PostgreSQL's classes of errors that are no fault of the statement: connection exceptions, invalid
# authorization, invalid catalog name, insufficient resources, operator intervention.
_PASSING = ("08", "28", "3D", "53", "57")
# The database takes no connections now; it can only be read, for another server is the first; it
# has given up a transaction in which nothing was done for too long.
_IN_NO_STATE_FOR_IT = ("55000", "25006", "25P03")
# Two transactions waited for each other, and this one was chosen to begin again.
_DEADLOCK = "40P01"
_UNAVAILABLE = (
    OperationalError,
    InterfaceError,
    PoolTimeoutError,
    OSError,
    sqlite3.OperationalError,
    asyncpg.InterfaceError,
    # Raised by a connection that the server has ended a moment ago, and that does not know yet.
    asyncpg.InternalClientError,
)


@contextmanager
def driver_errors_translated() -> Iterator[None]:
    """What is no fault of the statement becomes DatabaseUnavailableError, or ConcurrentWriteError
    if it only has to be done again."""
    try:
        yield
    except Exception as error:
        raise_translated(error)
        raise


def raise_translated(error: Exception) -> None:
    """The same for an error that was caught: returns when it stays what it is."""
    if isinstance(error, _UNAVAILABLE):
        raise DatabaseUnavailableError(str(error)) from error
    if isinstance(error, DBAPIError | asyncpg.PostgresError):
        cause = error.orig if isinstance(error, DBAPIError) else error
        state = str(getattr(cause, "sqlstate", None))
        if state == _DEADLOCK:
            raise ConcurrentWriteError(str(error)) from error
        lost = isinstance(error, DBAPIError) and error.connection_invalidated
        if lost or state[:2] in _PASSING or state in _IN_NO_STATE_FOR_IT:
            raise DatabaseUnavailableError(str(error)) from error


@contextmanager
def taken_keys_translated() -> Iterator[None]:
    """A key that another process took first becomes ConcurrentWriteError."""
    try:
        yield
    except (IntegrityError, sqlite3.IntegrityError, asyncpg.UniqueViolationError) as error:
        if _key_is_taken(error):
            raise ConcurrentWriteError("Another process wrote a row of the same key.") from error
        raise


def _key_is_taken(error: Exception) -> bool:
    """SQLite tells every broken constraint with the same exception."""
    name = getattr(getattr(error, "orig", error), "sqlite_errorname", "")
    return isinstance(error, asyncpg.UniqueViolationError) or name in (
        "SQLITE_CONSTRAINT_UNIQUE",
        "SQLITE_CONSTRAINT_PRIMARYKEY",
    )
