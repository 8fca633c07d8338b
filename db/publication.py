"""Publication: the last step before a commit, which appends the changes of a transaction to the
feed.

Positions are given under the lock of the feed's head row, so they are in commit order. On
PostgreSQL the writes that still wait travel in the same statement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it ships no types
from sqlalchemy import Integer, bindparam, text, update

from db.driver.sqlite_driver import OneTripConnection
from db.driver.statements.bulk import JsonRows, Rows, insert_each
from db.driver.statements.compiled_statements import CompiledStatement, DriverStatement
from db.driver.statements.round_trips import (
    Write,
    arguments_of,
    numbered_texts,
    part_names,
    with_clause,
)
from db.errors import ConcurrentWriteError
from db.tables.facts import ChangeFacts
from db.tables.models import Change, FeedHead
from db.vocabulary import EntryId, MemberId, Position


@dataclass(frozen=True, slots=True)
class NewChange:
    """A change that is appended to the feed at commit and gets its position there."""

    member_id: MemberId | None = None
    entry_id: EntryId | None = None
    access_changed: bool = False
    facts: ChangeFacts = field(default_factory=ChangeFacts)


@dataclass(frozen=True, slots=True)
class CommittedChange:
    """A change with its place in the feed."""

    position: Position
    committed_at: datetime
    member_id: MemberId | None
    entry_id: EntryId | None
    access_changed: bool
    facts: ChangeFacts


def change_rows(changes: Sequence[NewChange], now: datetime) -> list[Mapping[str, Any]]:
    """Returns the rows of these changes, without their positions."""
    return [
        {
            "committed_at": now,
            "member_id": change.member_id,
            "entry_id": change.entry_id,
            "access_changed": change.access_changed,
            "facts": change.facts,
        }
        for change in changes
    ]


def committed_changes(
    changes: Sequence[NewChange], now: datetime, last: int | None
) -> list[CommittedChange]:
    """Returns the changes with their positions, of which `last` is the last one."""
    if last is None:
        raise RuntimeError("Table feed_head has no row; the first migration inserts it.")
    first = last - len(changes) + 1
    return [
        CommittedChange(
            position=Position(first + number),
            committed_at=now,
            member_id=change.member_id,
            entry_id=change.entry_id,
            access_changed=change.access_changed,
            facts=change.facts,
        )
        for number, change in enumerate(changes)
    ]


_HEAD_ON_SQLITE = CompiledStatement(
    update(FeedHead)
    .values(position=FeedHead.position + bindparam("count", type_=Integer))
    .returning(FeedHead.position)
)


async def publish_on_sqlite(driver: OneTripConnection, changes: Rows) -> int | None:
    """Appends the changes and returns the position of the last one."""
    moved = await _HEAD_ON_SQLITE.run(driver, {"count": len(changes)})
    if not moved:
        return None
    last: int = moved[0][0]
    first = last - len(changes) + 1
    rows = [{"position": first + number, **change} for number, change in enumerate(changes)]
    await insert_each(Change, rows).run_each_on_sqlite(driver, rows)
    return last


async def write_and_publish(
    driver: asyncpg.Connection, writes: Sequence[Write], changes: Rows
) -> int | None:
    """Writes to PostgreSQL, appends the changes, and returns the position of the last one.

    The feed's head is locked after everything else is written, so that other transactions wait for
    it as briefly as possible.
    """
    parts = tuple(write.statement.for_postgres() for write in writes)
    publication = (_HEAD.for_postgres(), _CHANGES.for_postgres())
    statements = [*writes, *_publication_writes(changes)]
    arguments = arguments_of((*parts, *publication), statements)
    records = await driver.fetch(_publication(parts, publication), *arguments)
    return records[0][0] if records else None


async def write_if_unchanged(
    driver: asyncpg.Connection,
    locks: Sequence[tuple[int, bool]],
    writes: Sequence[Write],
    changes: Rows,
) -> int | None:
    """Does the same outside of a transaction; the statement commits by itself.

    Takes the locks if they are free. Raises ConcurrentWriteError, and writes nothing, if one of
    them is held or a write does not change as many rows as it should.
    """
    keys = {"keys": [key for key, _ in locks], "exclusive": [exclusive for _, exclusive in locks]}
    statements = [Write(_TRY_LOCKS, keys), *writes, *_publication_writes(changes)]
    parts = tuple(write.statement.for_postgres() for write in statements)
    checked = tuple(write.expected is not None for write in writes)
    expected = [write.expected for write in writes if write.expected is not None]
    arguments = [*arguments_of(parts, statements), *expected]
    try:
        records = await driver.fetch(_checked_publication(parts, checked), *arguments)
    except asyncpg.DivisionByZeroError:
        raise ConcurrentWriteError(
            "A lock was held, or a row has changed since it was read."
        ) from None
    return records[0][0] if records else None


# Does not wait for locks that somebody holds. What it takes is held as long as the statement runs.
_TRY_LOCKS = CompiledStatement(
    text(
        "SELECT coalesce(bool_and(CASE WHEN exclusive THEN pg_try_advisory_xact_lock(key) "
        "ELSE pg_try_advisory_xact_lock_shared(key) END), true) AS held "
        "FROM unnest(CAST(:keys AS bigint[]), CAST(:exclusive AS bool[])) AS wanted(key, exclusive)"
    )
)
_FEED_COLUMNS = ("committed_at", "member_id", "entry_id", "access_changed", "facts")
_HEAD = CompiledStatement(
    text("UPDATE feed_head SET position = position + :count").bindparams(
        bindparam("count", type_=Integer)
    )
)
_NEW_CHANGES = JsonRows(Change, _FEED_COLUMNS)
_CHANGES = _NEW_CHANGES.statement(
    f"INSERT INTO changes (position, {', '.join(_FEED_COLUMNS)}) "  # noqa: S608  (our columns)
    f"SELECT head.position - :count + given.number, {', '.join(_FEED_COLUMNS)} "
    f"FROM head, {_NEW_CHANGES.source}",
    bindparam("count", type_=Integer),
)


def _publication_writes(changes: Rows) -> list[Write]:
    count = {"count": len(changes)}
    return [Write(_HEAD, count), Write(_CHANGES, {**count, **_NEW_CHANGES.parameters(changes)})]


@cache
def _publication(
    parts: tuple[DriverStatement, ...], publication: tuple[DriverStatement, ...]
) -> str:
    """Returns the statement whose parts are the writes, then the head, then the changes.

    The head is raised only where the numbers of written rows add up to zero or more, which they
    always do: to tell them, PostgreSQL has to finish the writes before it locks the head.
    """
    *writes, head, changes = numbered_texts((*parts, *publication))
    names = part_names(writes)
    counts = [f"SELECT count(*) AS n FROM {name}" for name in names]  # noqa: S608
    written = f" WHERE (SELECT sum(n) FROM ({' UNION ALL '.join(counts)}) AS written) >= 0"  # noqa: S608
    texts = [
        *(f"{write} RETURNING 1" for write in writes),
        f"{head}{written if writes else ''} RETURNING position",
        changes,
    ]
    everything = with_clause([*names, "head", "published"], texts)
    return f"{everything} SELECT position FROM head"  # noqa: S608  (compiled parts)


@cache
def _checked_publication(parts: tuple[DriverStatement, ...], checked: tuple[bool, ...]) -> str:
    """Returns the statement whose parts are the locks, the writes, the head and the changes.

    A statement can undo itself only by failing, so it divides by each condition that must hold:
    1 / 0 if a lock is not held, or if a checked write changed another number of rows than the
    parameter of its place says. PostgreSQL evaluates the conditions in this order, so nothing is
    changed before the locks are held.
    """
    locks, *writes, head, changes = numbered_texts(parts)
    names = part_names(writes)
    parameter = sum(part.parameter_count for part in parts)
    conditions = ["SELECT 1 / held::int AS n FROM locks"]
    for name, is_checked in zip(names, checked, strict=True):
        if is_checked:
            parameter += 1
            as_expected = f"(count(*) = ${parameter}::bigint)::int"
            conditions.append(f"SELECT 1 / {as_expected} FROM {name}")  # noqa: S608
        else:
            conditions.append(f"SELECT count(*) FROM {name}")  # noqa: S608
    texts = [
        locks,
        *(f"{write} RETURNING 1" for write in writes),
        f"{head} WHERE (SELECT sum(n) FROM ({' UNION ALL '.join(conditions)}) AS conditions) >= 0 "  # noqa: S608
        "RETURNING position",
        changes,
    ]
    everything = with_clause(["locks", *names, "head", "published"], texts)
    return f"{everything} SELECT position FROM head"  # noqa: S608  (compiled parts)
