"""Engines: how connections to SQLite and PostgreSQL are opened and set up."""

from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from db.driver import sqlite_driver

SQLITE_READERS = 4
IS_IN_PLACE = "is in place"
"""The key, in the info of an SQLite connection, of a function that tells whether the file is still
in its place. What is written into a file that was deleted or replaced is lost when it is closed."""
POSTGRES_WRITERS = 4
ANSWER_SECONDS = 30.0
"""The time after which a statement counts as lost. The driver would wait for ever for a server that
vanished without closing the connection, or for a firewall that dropped it."""
_POSTGRES_OPTIONS = {
    *("host", "port", "user", "password", "database", "passfile", "service", "servicefile"),
    *("ssl", "target_session_attrs", "krbsrvname", "gsslib", "prepared_statement_cache_size"),
}
"""The options that a URL may have: those that asyncpg takes as text."""
_LARGEST_PORT = 65_535
_POSTGRES_SETTINGS = {
    "application_name": "likeperson-sync",
    # A transaction that holds a row for longer must not stop all others: the event is tried again.
    "lock_timeout": "3s",
    # Nor may a process that hangs in a transaction, or whose machine has vanished. By itself
    # PostgreSQL would notice that after hours, and keep the locks until then.
    "idle_in_transaction_session_timeout": "5s",
}
# Writers find all rows by their keys. A generic plan serves for that, if it uses the index although
# the tables were small when it was made; planning each time would cost more than running.
_WRITER_SETTINGS = {
    **_POSTGRES_SETTINGS,
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    # The settings above make plans look expensive, so that PostgreSQL would compile them.
    "jit": "off",
}


def check_url(url: str) -> None:
    """Raises ValueError, without the password, for a URL that cannot be used."""
    try:
        parts = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError(
            "is not a URL such as sqlite+aiosqlite:///FILE or "
            "postgresql+asyncpg://USER:PASSWORD@HOST:PORT/NAME, in which PORT is a number"
        ) from None
    if parts.drivername not in ("sqlite+aiosqlite", "postgresql+asyncpg"):
        raise ValueError("must begin with sqlite+aiosqlite:// or postgresql+asyncpg://")
    if parts.get_backend_name() == "postgresql":
        check_postgres_url(parts)
    elif _in_memory(parts):
        raise ValueError(
            "a database in memory cannot be shared by several connections; give a file, "
            "as in sqlite+aiosqlite:///var/likeperson.db"
        )


def check_postgres_url(url: URL) -> None:
    """Raises ValueError for a URL of PostgreSQL that asyncpg cannot use."""
    unknown = url.query.keys() - _POSTGRES_OPTIONS
    if unknown:
        raise ValueError(
            f"has an option that asyncpg does not take: {', '.join(sorted(unknown))}. It takes "
            "ssl, as in ?ssl=require, for what other drivers call sslmode"
        )
    try:
        _, arguments = url.get_dialect()().create_connect_args(url)
        ports = arguments.get("port", [])
        numbers = [int(port) for port in (ports if isinstance(ports, list) else [ports])]
    except (ArgumentError, ValueError, TypeError) as error:
        raise ValueError(f"cannot be used by asyncpg: {error}") from error
    if not all(0 < number <= _LARGEST_PORT for number in numbers):
        raise ValueError(f"has a port outside of 1 to {_LARGEST_PORT}")


def _in_memory(url: URL) -> bool:
    database = url.database or ""
    return not database or ":memory:" in database or url.query.get("mode") == "memory"


def is_sqlite(url: str) -> bool:
    return make_url(url).get_backend_name() == "sqlite"


def create_engines(url: str, *, pool_size: int) -> tuple[AsyncEngine, AsyncEngine]:
    """Returns (reader, writer). Opens no connection yet."""
    if is_sqlite(url):
        if (file := sqlite_file(url)) is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        return _sqlite(url, SQLITE_READERS, "BEGIN"), _sqlite(url, 1, "BEGIN IMMEDIATE")
    reader = _postgres(url, pool_size, _POSTGRES_SETTINGS)
    return reader, _postgres(url, POSTGRES_WRITERS, _WRITER_SETTINGS)


def _postgres(url: str, pool_size: int, settings: dict[str, str]) -> AsyncEngine:
    return create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=5,
        # Parameters may be personal data, which must not reach a log with an error.
        hide_parameters=True,
        connect_args={
            "timeout": 5,
            "command_timeout": ANSWER_SECONDS,
            "server_settings": settings,
        },
    )


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


def sqlite_file(url: str) -> Path | None:
    """Returns the file of an SQLite database; None for every other database."""
    database = make_url(url).database
    on_file = is_sqlite(url) and database not in (None, "", ":memory:")
    return Path(str(database)) if on_file else None
