"""Migrations: moves a database to a schema version, or checks that it has the right one."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Integer, Select, String, column, inspect, select, table
from sqlalchemy.exc import DBAPIError

from db.database import Database
from db.driver.driver_errors import driver_errors_translated
from db.driver.engine import create_engines, create_migration_engine
from db.driver.pooling import require_own_sessions
from db.driver.urls import is_sqlite, sqlite_file
from db.errors import NotADatabaseError, SchemaOutdatedError

MIGRATIONS = Path(__file__).parent / "migrations"
# The key of the advisory lock that keeps two processes from migrating at the same time.
_MIGRATION_LOCK = 0x11FE5
HEAD = "head"
_COMPATIBILITY = table("schema_compatibility", column("id", Integer), column("oldest", String))
_OLDEST: Select[str] = select(_COMPATIBILITY.c.oldest)
_VERSION: Select[str] = select(column("version_num", String)).select_from(table("alembic_version"))


@cache
def oldest_compatible(revision: str) -> str:
    """Returns the oldest revision whose programs can use the schema of this one.

    A migration says `additive = True` when those from before it neither miss anything nor fail to
    write: new tables, or new columns that may be left out. Where it does not, it is not.
    """
    for step in ScriptDirectory(str(MIGRATIONS)).walk_revisions("base", revision):
        if not getattr(step.module, "additive", False):
            return step.revision
    return revision


@cache
def expected_revision() -> str:
    head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    if head is None:
        raise RuntimeError(f"No migrations in {MIGRATIONS}.")
    return head


async def migrate(url: str, revision: str = HEAD) -> None:
    """Moves the schema up or down to a revision, in one transaction.

    Several processes may call it at the same time. Raises DatabaseUnavailableError or
    NotADatabaseError.
    """
    await _run(url, lambda connection: _move(connection, revision))


async def require_current_schema(url: str) -> None:
    """Raises SchemaOutdatedError if this program cannot use the schema, and
    DatabaseUnavailableError."""
    current: str | None = None
    oldest: str | None = None

    def read(connection: Connection) -> None:
        nonlocal current, oldest
        current = MigrationContext.configure(connection).get_current_revision()

        oldest = _stored_compatibility(connection)

    await _run(url, read)
    _require_usable(current, oldest)


async def check_schema(database: Database) -> None:
    """Does the same as `require_current_schema`, over a connection of the database's pool."""
    async with database.read() as session:
        try:
            current = await session.scalar(_VERSION)
            if current == expected_revision():
                return
            oldest = await session.scalar(_OLDEST)
        except DBAPIError:
            raise SchemaOutdatedError(None, expected_revision()) from None
    _require_usable(current, oldest)


def _require_usable(current: str | None, oldest: str | None) -> None:
    """Raises SchemaOutdatedError unless the schema is the one of this program, or a newer one that
    says that it can be used by it."""
    expected = expected_revision()
    if current == expected:
        return
    # Revisions are numbers of one width.
    is_newer = current is not None and current > expected
    if not is_newer or oldest is None or oldest > expected:
        raise SchemaOutdatedError(current, expected)


async def _run(url: str, work: Callable[[Connection], None]) -> None:
    if is_sqlite(url):
        reader, engine = create_engines(url, pool_size=1)
        await reader.dispose()
    else:
        engine = create_migration_engine(url)
    try:
        with driver_errors_translated():
            try:
                await require_own_sessions(url)
                async with engine.begin() as connection:
                    await connection.run_sync(work)
            except DBAPIError as error:
                if getattr(error.orig, "sqlite_errorname", None) == "SQLITE_NOTADB":
                    file = sqlite_file(url)
                    raise NotADatabaseError(f"{file} is not an SQLite database.") from None
                raise
    finally:
        await engine.dispose()


def _move(connection: Connection, revision: str) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    here = MigrationContext.configure(connection).get_current_revision()
    steps = ScriptDirectory(str(MIGRATIONS))
    if here is not None and here not in {step.revision for step in steps.walk_revisions()}:
        # A newer program has migrated; whether this one can go on is said by the schema.
        _require_usable(here, _stored_compatibility(connection))
        return
    if revision == HEAD or _is_above(steps, revision, here):
        command.upgrade(config, revision)
    else:
        command.downgrade(config, revision)
    store_compatibility(connection)


def _stored_compatibility(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_COMPATIBILITY.name):
        return None
    return connection.scalar(_OLDEST)


def store_compatibility(connection: Connection) -> None:
    """Stores which programs can use the schema as it is now."""
    here = MigrationContext.configure(connection).get_current_revision()
    if here is None or not inspect(connection).has_table(_COMPATIBILITY.name):
        return
    connection.execute(_COMPATIBILITY.delete())
    row = {"id": 1, "oldest": oldest_compatible(here)}
    connection.execute(_COMPATIBILITY.insert().values(row))


def _is_above(steps: ScriptDirectory, revision: str, here: str | None) -> bool:
    if here is None:
        return True
    return revision not in {step.revision for step in steps.walk_revisions("base", here)} | {"base"}
