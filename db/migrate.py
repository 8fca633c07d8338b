"""Migrations: moves a database to a schema version, or checks that it has the right one."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Select, String, column, select, table
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
_VERSION: Select[str] = select(column("version_num", String)).select_from(table("alembic_version"))


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
    """Raises SchemaOutdatedError if the schema is not at the newest revision, and
    DatabaseUnavailableError."""
    current: str | None = None

    def read(connection: Connection) -> None:
        nonlocal current
        current = MigrationContext.configure(connection).get_current_revision()

    await _run(url, read)
    expected = expected_revision()
    if current != expected:
        raise SchemaOutdatedError(current, expected)


async def check_schema(database: Database) -> None:
    """Does the same as `require_current_schema`, over a connection of the database's pool."""
    async with database.read() as session:
        try:
            current = await session.scalar(_VERSION)
        except DBAPIError:
            raise SchemaOutdatedError(None, expected_revision()) from None
    if current != expected_revision():
        raise SchemaOutdatedError(current, expected_revision())


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
    if revision == HEAD or _is_above(steps, revision, here):
        command.upgrade(config, revision)
    else:
        command.downgrade(config, revision)


def _is_above(steps: ScriptDirectory, revision: str, here: str | None) -> bool:
    if here is None:
        return True
    return revision not in {step.revision for step in steps.walk_revisions("base", here)} | {"base"}
