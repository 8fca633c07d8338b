"""Copies an SQLite database into an empty PostgreSQL, with ids and positions as they are.

While it copies, the target says that it has no schema that a program could use, so that no service
starts on half of the data. A copy that was cut short goes on where it stood.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite
from sqlalchemy import Column, Integer, Row, Table, bindparam, delete, func, insert, select, text
from sqlalchemy import update as update_rows
from sqlalchemy.ext.asyncio import AsyncConnection

from db.database import Database, SilentBell
from db.driver.driver_errors import driver_errors_translated
from db.driver.engine import create_engines, create_migration_engine
from db.errors import PortError
from db.migrate import check_schema, expected_revision, store_compatibility
from db.tables.models import Base, FeedHead, SchemaCompatibility

CHUNK = 1000
WAIT_SECONDS = 10.0
UNFINISHED = "port"
"""The schema version of a target that is not complete."""

Progress = Callable[[str, int], None]
"""Is told the table and how many of its rows are there."""


async def port(source: Path, url: str, progress: Progress) -> dict[str, int]:
    """Copies everything, compares it row by row, and returns the number of rows by table.

    Nobody can write to the source meanwhile. Raises PortError, SchemaOutdatedError or
    DatabaseUnavailableError; the source stays as it is, and the copy can be started again.
    """
    sqlite_url = f"sqlite+aiosqlite:///{source}"
    if not await asyncio.to_thread(source.is_file):
        raise PortError(f"There is no database to copy: {source} does not exist.")
    await _require_readable(sqlite_url)
    old_engine, writer = create_engines(sqlite_url, pool_size=1)
    new_engine = create_migration_engine(url)
    try:
        with driver_errors_translated():
            async with (
                _nobody_writes(source),
                old_engine.connect() as old,
                new_engine.connect() as new,
            ):
                await _begin(old, new)
                counts = {
                    table.name: await _copied(old, new, table, progress)
                    for table in Base.metadata.sorted_tables
                    if table.name not in (FeedHead.__tablename__, SchemaCompatibility.__tablename__)
                }
                for table in Base.metadata.sorted_tables:
                    await _link_rows_to_each_other(old, new, table)
                    if table.name != SchemaCompatibility.__tablename__:
                        await _compare(old, new, table)
                await _finish(new)
                return counts
    finally:
        await old_engine.dispose()
        await writer.dispose()
        await new_engine.dispose()


async def _require_readable(url: str) -> None:
    """Raises SchemaOutdatedError."""
    database = Database(url, SilentBell(), pool_size=1)
    try:
        await check_schema(database)
    finally:
        await database.close()


@asynccontextmanager
async def _nobody_writes(source: Path) -> AsyncIterator[None]:
    """Holds the lock of writers. Raises PortError if a service has it for too long."""
    async with aiosqlite.connect(source, isolation_level=None, timeout=WAIT_SECONDS) as connection:
        try:
            await connection.execute("BEGIN IMMEDIATE")
        except aiosqlite.OperationalError as error:
            raise PortError(f"{source} is in use: {error}. Stop the service first.") from error
        yield


async def _begin(old: AsyncConnection, new: AsyncConnection) -> None:
    """Marks the target as unfinished. Raises PortError if it holds something else already."""
    version = await new.scalar(text("SELECT version_num FROM alembic_version"))
    head = (await old.execute(select(FeedHead.__table__))).mappings().one()
    if version == UNFINISHED:
        begun = await new.scalar(select(FeedHead.feed_id))
        if begun != head["feed_id"]:
            raise PortError("Another database was being copied into the target. Empty it first.")
        await new.commit()
        return
    if version != expected_revision():
        raise PortError(
            f"The target has the schema {version}; run `likeperson-sync migrate` on it first."
        )
    for name in ("members", "organizations", "sync_log"):
        if await new.scalar(select(func.count()).select_from(Base.metadata.tables[name])):
            raise PortError(f"The target is not empty: it has rows in {name}.")
    # What the migrations have put there comes from the source.
    for table in reversed(Base.metadata.sorted_tables):
        if table.name != "audit_trail":
            await new.execute(delete(table))
    await new.execute(insert(Base.metadata.tables["feed_head"]).values(dict(head)))
    await new.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": UNFINISHED})
    await new.commit()


async def _copied(
    old: AsyncConnection, new: AsyncConnection, table: Table, progress: Progress
) -> int:
    """Copies the rows that are not there yet, in the order of their ids; returns how many there
    are."""
    key = _number_of(table)
    if key is None:
        # Few rows, and no order to go on in.
        await new.execute(delete(table))
        rows = (await old.execute(select(table))).mappings().all()
        if rows:
            await new.execute(insert(table), [dict(row) for row in rows])
        await new.commit()
        return len(rows)
    there = await new.scalar(select(func.count()).select_from(table)) or 0
    last = await new.scalar(select(func.max(key)))
    links = _links_within(table)
    while True:
        after = select(table).order_by(key).limit(CHUNK)
        page = after if last is None else after.where(key > last)
        rows = (await old.execute(page)).mappings().all()
        if not rows:
            await new.commit()
            return there
        values = [{**row, **dict.fromkeys(links)} for row in rows]
        await new.execute(insert(table), values)
        await new.commit()
        there += len(rows)
        last = rows[-1][key.name]
        progress(table.name, there)


async def _link_rows_to_each_other(
    old: AsyncConnection, new: AsyncConnection, table: Table
) -> None:
    """Sets what refers to rows of the same table, once all of them are there."""
    links, key = _links_within(table), _number_of(table)
    if not links or key is None:
        return
    rows = (await old.execute(select(key, *(table.c[name] for name in links)))).mappings().all()
    given = [{"row": row[key.name], **{f"to_{it}": row[it] for it in links}} for row in rows]
    if given:
        linking = update_rows(table).where(key == bindparam("row"))
        await new.execute(linking.values({it: bindparam(f"to_{it}") for it in links}), given)
    await new.commit()


async def _compare(old: AsyncConnection, new: AsyncConnection, table: Table) -> None:
    """Raises PortError unless both have the same rows."""
    keys = list(table.primary_key.columns)
    counts = [await it.scalar(select(func.count()).select_from(table)) for it in (old, new)]
    if counts[0] != counts[1]:
        raise PortError(f"{table.name} has {counts[0]} rows, and the copy {counts[1]}.")
    key = _number_of(table)
    last: Any = None
    while True:
        page = select(table).order_by(*keys)
        if key is not None:
            page = page.limit(CHUNK)
            page = page if last is None else page.where(key > last)
        here, there = [_rows((await it.execute(page)).all()) for it in (old, new)]
        if key is None:
            here, there = sorted(here, key=str), sorted(there, key=str)
        if here != there:
            raise PortError(f"A row of {table.name} differs in the copy.")
        if key is None or not here:
            return
        last = here[-1][list(table.columns).index(key)]


def _rows(rows: Sequence[Row[Any]]) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in rows]


async def _finish(new: AsyncConnection) -> None:
    """Lets new rows get ids after those that were copied, and gives the target its schema."""
    for table in Base.metadata.sorted_tables:
        key = _number_of(table)
        if key is None:
            continue
        names = {"name": table.name, "key": key.name}
        sequence = await new.scalar(text("SELECT pg_get_serial_sequence(:name, :key)"), names)
        last = await new.scalar(select(func.max(key)))
        if sequence is not None and last is not None:
            await new.execute(select(func.setval(text(f"'{sequence}'"), last)))
    await new.execute(
        text("UPDATE alembic_version SET version_num = :it"), {"it": expected_revision()}
    )
    await new.run_sync(store_compatibility)
    await new.commit()


def _number_of(table: Table) -> Column[Any] | None:
    """Returns the primary key if it is one number."""
    keys = list(table.primary_key.columns)
    is_number = len(keys) == 1 and isinstance(keys[0].type, Integer)
    return keys[0] if is_number else None


def _links_within(table: Table) -> list[str]:
    return [
        column.name
        for column in table.columns
        if any(key.column.table is table for key in column.foreign_keys)
    ]
