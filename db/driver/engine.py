"""Engines: how connections to SQLite and PostgreSQL are opened and set up."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from db.driver import sqlite_driver
from db.driver.urls import is_sqlite, postgres_arguments, sqlite_file

SQLITE_READERS = 4
IS_IN_PLACE = "is in place"
"""The key, in the info of an SQLite connection, of a function that tells whether the file is still
in its place. What is written into a file that was deleted or replaced is lost when it is closed."""
POSTGRES_WRITERS = 4
ANSWER_SECONDS = 30.0
"""The time after which a statement counts as lost. The driver would wait for ever for a server that
vanished without closing the connection, or for a firewall that dropped it."""
APPLICATION_NAME = "likeperson-sync"
_SETTINGS = {
    # Locks are taken by name before anything is read, and what is read without them is compared
    # by version (ADR 0026): a stricter isolation would only add failures.
    "default_transaction_isolation": "read committed",
    # A transaction that holds a row for longer must not stop all others: the event is tried again.
    "lock_timeout": "3s",
    # Nor may a process that hangs in a transaction, or whose machine has vanished. By itself
    # PostgreSQL would notice that after hours, and keep the locks until then.
    "idle_in_transaction_session_timeout": "5s",
}
# Writers find all rows by their keys. A generic plan serves for that, if it uses the index although
# the tables were small when it was made; planning each time would cost more than running.
_WRITER_SETTINGS = {
    **_SETTINGS,
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    # The settings above make plans look expensive, so that PostgreSQL would compile them.
    "jit": "off",
}


def create_engines(url: str, *, pool_size: int) -> tuple[AsyncEngine, AsyncEngine]:
    """Returns (reader, writer). Opens no connection yet."""
    if is_sqlite(url):
        if (file := sqlite_file(url)) is not None:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _sqlite(url, SQLITE_READERS, "BEGIN"), _sqlite(url, 1, "BEGIN IMMEDIATE")
    reader = _postgres(url, pool_size, _SETTINGS)
    return reader, _postgres(url, POSTGRES_WRITERS, _WRITER_SETTINGS)


def create_migration_engine(url: str) -> AsyncEngine:
    """Returns an engine for long statements that may wait for each other."""
    return _postgres(url, 1, {}, answer_seconds=None)


def _postgres(
    url: str,
    pool_size: int,
    settings: Mapping[str, str],
    *,
    answer_seconds: float | None = ANSWER_SECONDS,
) -> AsyncEngine:
    target, arguments = postgres_arguments(make_url(url))
    engine = create_async_engine(
        target,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=5,
        # Parameters may be personal data, which must not reach a log with an error.
        hide_parameters=True,
        connect_args={
            **arguments,
            "timeout": 5,
            "command_timeout": answer_seconds,
            "server_settings": {"application_name": APPLICATION_NAME},
        },
    )
    if settings:
        _set_on_connect(engine, settings)
    return engine


def _set_on_connect(engine: AsyncEngine, settings: Mapping[str, str]) -> None:
    """Sets them by a statement: PgBouncer refuses or ignores parameters of a connection."""
    statement = "; ".join(f"SET {name} = '{value}'" for name, value in settings.items())

    @event.listens_for(engine.sync_engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.run_async(lambda driver: driver.execute(statement))


def _sqlite(url: str, pool_size: int, begin: str) -> AsyncEngine:
    engine = create_async_engine(
        url,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=30,
        connect_args={"timeout": 10, "async_creator_fn": sqlite_driver.connected},
        hide_parameters=True,
    )

    file = sqlite_file(url)

    @event.listens_for(engine.sync_engine, "connect")
    def _on_connect(connection: Any, record: Any) -> None:
        # The driver begins a transaction only at the first write, which is too late for a snapshot:
        # `_on_begin` does it.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        # An acknowledged event must survive a loss of power.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        # What is deleted is overwritten with zeros: a person who is forgotten leaves the file.
        cursor.execute("PRAGMA secure_delete=ON")
        cursor.close()
        opened = _identity(file)
        record.info[IS_IN_PLACE] = lambda: _identity(file) == opened

    @event.listens_for(engine.sync_engine, "checkout")
    def _on_checkout(_connection: Any, record: Any, _fairy: Any) -> None:
        if not record.info[IS_IN_PLACE]():
            raise DisconnectionError("The database file was deleted or replaced.")

    @event.listens_for(engine.sync_engine, "begin")
    def _on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _identity(file: Path | None) -> tuple[int, int] | None:
    """Returns device and inode of a file; None when it does not exist."""
    try:
        found = None if file is None else file.stat()
    except OSError:
        return None
    return None if found is None else (found.st_dev, found.st_ino)
