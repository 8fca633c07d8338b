"""A database that a test opens itself, and what stands in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import column, delete, func, select, table, update

from db.database import Database, SilentBell
from db.tables.models import AuditRecord, Base, Change, FeedHead, ReconciliationRow, Role

CATALOGUE = ("member", "peer-mentor", "coordinator", "organization-administrator")


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = Database(url, SilentBell())
    try:
        yield database
    finally:
        await database.close()


async def row_counts(database: Database) -> dict[str, int]:
    """How many rows each table has."""
    async with database.read() as session:
        return {
            rows.name: await session.scalar(select(func.count()).select_from(rows)) or 0
            for rows in Base.metadata.sorted_tables
        }


async def rows_without_runs(database: Database) -> dict[str, int]:
    """The same without the table of runs: that one took place is recorded whatever it found."""
    counts = await row_counts(database)
    del counts[ReconciliationRow.__tablename__]
    return counts


async def waiting(database: Database) -> int:
    """How many sessions wait for a lock, on PostgreSQL."""
    async with database.read() as session:
        activity = select(func.count()).select_from(table("pg_stat_activity"))
        return (
            await session.scalar(
                activity.where(
                    column("datname") == func.current_database(),
                    column("wait_event_type") == "Lock",
                )
            )
            or 0
        )


async def clear(database: Database) -> None:
    """As it was after the migrations, except that positions and ids go on, and that the audit
    trail keeps what it has: nobody can take anything out of it."""
    async with database.write() as session:
        for rows in reversed(Base.metadata.sorted_tables):
            if rows.name == Role.__tablename__:
                await session.run(delete(Role).where(Role.code.not_in(CATALOGUE)))
            elif rows.name not in (FeedHead.__tablename__, AuditRecord.__tablename__):
                await session.run(delete(rows))


async def put_back(database: Database, position: int) -> None:
    """As a backup of that moment would, or a second server that had not got more."""
    async with database.write() as session:
        await session.run(delete(Change).where(Change.position > position))
        await session.run(update(FeedHead).values(position=position))
