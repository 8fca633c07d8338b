"""The errors of the drivers, translated into those of `db.errors`, in one place.

A driver's error may quote personal data: PostgreSQL's DETAIL shows the row that was refused, and
asyncpg the argument. So a translated error names only class, code and constraint, and is raised
without the driver's error as its cause, which a log would print with the traceback.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg  # type: ignore[import-untyped]  # it ships no types
from asyncpg.exceptions._base import DataError  # type: ignore[import-untyped]  # it ships no types
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from db.errors import (
    ConcurrentWriteError,
    DatabaseError,
    DatabaseUnavailableError,
    StatementRefusedError,
)

# PostgreSQL's classes of errors that no statement causes: connection exceptions, invalid
# authorization, invalid catalog name, insufficient resources, operator intervention. Their messages
# are about the server and quote no rows.
_UNAVAILABLE_CLASSES = ("08", "28", "3D", "53", "57")
# Not in a state to accept the connection; read-only, since another server is the primary now; a
# transaction ended because it was idle for too long.
_UNAVAILABLE_STATES = ("55000", "25006", "25P03")
# Messages of this class name tables, columns and functions.
_SYNTAX_OR_ACCESS = "42"
# Serialization failure, and a deadlock in which this transaction was chosen to fail.
_CONCURRENT_STATES = ("40001", "40P01")
# The errors for a fault of the statement or of its parameters; asyncpg raises DataError for an
# argument that it cannot encode.
_REFUSED = (DataError, sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)
# InternalClientError comes from a connection that the server has just closed.
_UNAVAILABLE = (
    sqlite3.Error,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OperationalError,
    InterfaceError,
    PoolTimeoutError,
    OSError,
)


@contextmanager
def driver_errors_translated() -> Iterator[None]:
    """Raises errors of the drivers as DatabaseUnavailableError, ConcurrentWriteError or
    StatementRefusedError."""
    try:
        yield
    except Exception as error:
        raise_translated(error)
        raise


def raise_translated(error: Exception) -> None:
    """Raises the translation of an error of a driver; returns for every other error."""
    translated = _translation(error)
    if translated is not None:
        raise translated.with_traceback(error.__traceback__) from None


@contextmanager
def taken_keys_translated() -> Iterator[None]:
    """Raises ConcurrentWriteError when another process has inserted a row of the same key."""
    try:
        yield
    except Exception as error:
        if _key_is_taken(_cause(error)):
            raise ConcurrentWriteError(
                f"Another process wrote a row of the same key: {described(error)}."
            ) from None
        raise


def described(error: Exception) -> str:
    """Returns an error of a driver without the values of rows: class, code and constraint.

    Errors that are not about values keep their message: a refused connection, an unknown table.
    """
    cause = _cause(error)
    name = type(cause).__name__
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorname", "no code")
        return f"{cause if isinstance(cause, sqlite3.OperationalError) else name} ({code})"
    if isinstance(cause, asyncpg.PostgresError):
        return _described_by_postgres(cause)
    if isinstance(cause, DataError | StatementError):
        return name
    return str(cause) or name


def _described_by_postgres(cause: asyncpg.PostgresError) -> str:
    state = str(cause.sqlstate)
    # The primary message, without DETAIL.
    message = cause.args[0] if cause.args else ""
    if _is_unavailable(state):
        return message
    constraint = getattr(cause, "constraint_name", None)
    place = f", constraint {constraint}" if constraint else ""
    tells = f": {message}" if state.startswith(_SYNTAX_OR_ACCESS) else ""
    return f"{type(cause).__name__} (SQLSTATE {state}{place}){tells}"


def _translation(error: Exception) -> DatabaseError | None:
    cause = _cause(error)
    if isinstance(cause, asyncpg.PostgresError):
        return _translation_of_state(error, str(cause.sqlstate))
    if isinstance(cause, _REFUSED):
        return StatementRefusedError(_refused(error))
    if isinstance(cause, _UNAVAILABLE) or _is_invalidated(error):
        return DatabaseUnavailableError(described(error))
    return StatementRefusedError(_refused(error)) if isinstance(error, StatementError) else None


def _translation_of_state(error: Exception, state: str) -> DatabaseError:
    if state in _CONCURRENT_STATES:
        return ConcurrentWriteError(f"Another transaction was in the way: {described(error)}.")
    if _is_unavailable(state) or _is_invalidated(error):
        return DatabaseUnavailableError(described(error))
    return StatementRefusedError(_refused(error))


def _refused(error: Exception) -> str:
    return f"The database refused a statement: {described(error)}."


def _is_unavailable(state: str) -> bool:
    return state[:2] in _UNAVAILABLE_CLASSES or state in _UNAVAILABLE_STATES


def _is_invalidated(error: Exception) -> bool:
    return isinstance(error, DBAPIError) and error.connection_invalidated


def _cause(error: Exception) -> BaseException:
    """Returns the driver's own error below that of SQLAlchemy and of its adapter to asyncpg."""
    cause: BaseException = error
    if isinstance(error, DBAPIError) and error.orig is not None:
        cause = error.orig
    if isinstance(cause, AsyncAdapt_asyncpg_dbapi.Error) and cause.__cause__ is not None:
        cause = cause.__cause__
    return cause


def _key_is_taken(cause: BaseException) -> bool:
    """Says whether a key is taken. SQLite raises one exception for every kind of constraint; its
    name says which it was."""
    return isinstance(cause, asyncpg.UniqueViolationError) or getattr(
        cause, "sqlite_errorname", None
    ) in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")
