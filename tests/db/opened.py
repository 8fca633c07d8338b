"""A database that a test opens itself, and what stands in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import delete, func, select, update

from db.models import AuditRecord, Base, Change, FeedHead, Role
from db.unit_of_work import Database

CATALOGUE = ("member", "peer-mentor", "coordinator", "organization-administrator")


class SilentDoorbell:
    def ring(self, position: int) -> None:
        pass


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = Database(url, SilentDoorbell())
    try:
        yield database
    finally:
        await database.close()


async def row_counts(database: Database) -> dict[str, int]:
    """How many rows each table has."""
    async with database.read() as session:
        return {
            table.name: await session.scalar(select(func.count()).select_from(table)) or 0
            for table in Base.metadata.sorted_tables
        }


async def clear(database: Database) -> None:
    """As it was after the migrations, except that positions and ids go on, and that the audit
    trail keeps what it has: nobody can take anything out of it."""
    async with database.write() as session:
        for table in reversed(Base.metadata.sorted_tables):
            if table.name == Role.__tablename__:
                await session.run(delete(Role).where(Role.code.not_in(CATALOGUE)))
            elif table.name not in (FeedHead.__tablename__, AuditRecord.__tablename__):
                await session.run(delete(table))


async def put_back(database: Database, position: int) -> None:
    """As a backup of that moment would, or a second server that had not got more."""
    async with database.write() as session:
        await session.run(delete(Change).where(Change.position > position))
        await session.run(update(FeedHead).values(position=position))
