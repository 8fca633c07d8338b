"""Several hot statements in one round trip to PostgreSQL.

A batch of events needs a dozen small statements. What each of them costs is mostly the way there
and back, so those that do not need each other's results travel together, as the parts of one WITH.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, TypeVar

import asyncpg  # type: ignore[import-untyped]  # it ships no types
from sqlalchemy import Integer, bindparam, text

from db.driver.bulk import JsonRows, Rows
from db.driver.compiled_statements import CompiledStatement, HotStatement
from db.driver.sqlite_driver import OneTripConnection
from db.errors import ConcurrentWriteError
from db.tables.models import Change

T = TypeVar("T")

SqlRow = Sequence[Any]
_PLACEHOLDER = re.compile(r"\$(\d+)")


@dataclass(slots=True)
class Query(Generic[T]):
    """A hot statement, its parameters, and what its rows mean."""

    statement: HotStatement
    parameters: Mapping[str, Any]
    read: Callable[[Sequence[SqlRow]], T]
    _rows: Sequence[SqlRow] | None = field(default=None, init=False)

    def answer(self, rows: Sequence[SqlRow]) -> None:
        self._rows = rows

    @property
    def found(self) -> T:
        """Once a session has fetched it."""
        if self._rows is None:
            raise RuntimeError("The query was not fetched yet.")
        return self.read(self._rows)


@dataclass(frozen=True, slots=True)
class Write:
    """A hot statement that changes rows, and its parameters.

    `expected`: how many rows it changes if nobody else has changed one since they were read.
    """

    statement: HotStatement
    parameters: Mapping[str, Any]
    expected: int | None = None


async def fetch_together(driver: asyncpg.Connection, queries: Sequence[Query[Any]]) -> None:
    parts = tuple(query.statement.compiled() for query in queries)
    arguments = [
        argument
        for part, query in zip(parts, queries, strict=True)
        for argument in part.arguments(query.parameters)
    ]
    (record,) = await driver.fetch(_selection(parts), *arguments)
    for part, query, found in zip(parts, queries, record, strict=True):
        query.answer(part.rows(found))


async def fetch_in_turn(driver: OneTripConnection, queries: Sequence[Query[Any]]) -> None:
    """On SQLite: one after the other, in one trip to the thread of the driver."""
    parts = [query.statement.compiled_for_sqlite() for query in queries]
    statements = [
        (part.sql, part.arguments(query.parameters))
        for part, query in zip(parts, queries, strict=True)
    ]
    for part, query, rows in zip(parts, queries, await driver.fetch(*statements), strict=True):
        query.answer(part.rows(rows))


async def write_together(driver: asyncpg.Connection, writes: Sequence[Write]) -> None:
    """PostgreSQL runs them in no particular order, each as if it were alone: they must concern
    different rows. Foreign keys are checked when all are done."""
    parts = tuple(write.statement.compiled() for write in writes)
    await driver.fetch(_modification(parts), *_arguments(parts, writes))


async def write_and_publish(
    driver: asyncpg.Connection, writes: Sequence[Write], changes: Rows
) -> int | None:
    """The same, and then the changes, without positions; returns the last one that they got. The
    feed's head is locked after everything else is written: what is needed of it is given only
    then."""
    parts = tuple(write.statement.compiled() for write in writes)
    publication = (_HEAD.compiled(), _CHANGES.compiled())
    last = _publication_of(changes)
    arguments = _arguments((*parts, *publication), [*writes, *last])
    records = await driver.fetch(_publication(parts, publication), *arguments)
    return records[0][0] if records else None


async def write_if_unchanged(
    driver: asyncpg.Connection,
    locks: Sequence[tuple[int, bool]],
    writes: Sequence[Write],
    changes: Rows,
) -> int | None:
    """The same outside of a transaction, as one of its own. Raises ConcurrentWriteError, and
    nothing is written, if one of the locks is not free or a write has not changed what it should.
    """
    taking = Write(
        _TRY_LOCKS, {"keys": [key for key, _ in locks], "whole": [alone for _, alone in locks]}
    )
    last = _publication_of(changes)
    parts = tuple(write.statement.compiled() for write in (taking, *writes, *last))
    checked = tuple(write.expected is not None for write in writes)
    expected = [write.expected for write in writes if write.expected is not None]
    arguments = _arguments(parts, [taking, *writes, *last])
    try:
        records = await driver.fetch(_checked_publication(parts, checked), *arguments, *expected)
    except asyncpg.DivisionByZeroError as error:
        raise ConcurrentWriteError("Somebody else wrote what was read.") from error
    return records[0][0] if records else None


# Locks that somebody holds are not waited for. The transaction lasts as long as the statement.
_TRY_LOCKS = HotStatement(
    text(
        "SELECT coalesce(bool_and(CASE WHEN alone THEN pg_try_advisory_xact_lock(key) "
        "ELSE pg_try_advisory_xact_lock_shared(key) END), true) AS held "
        "FROM unnest(CAST(:keys AS bigint[]), CAST(:whole AS bool[])) AS wanted(key, alone)"
    )
)
_FEED_COLUMNS = ("committed_at", "member_id", "entry_id", "access_changed", "facts")
_HEAD = HotStatement(
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


def _publication_of(changes: Rows) -> list[Write]:
    count = {"count": len(changes)}
    return [Write(_HEAD, count), Write(_CHANGES, {**count, **_NEW_CHANGES.parameters(changes)})]


def _arguments(parts: Sequence[CompiledStatement], writes: Sequence[Write]) -> list[Any]:
    return [
        argument
        for part, write in zip(parts, writes, strict=True)
        for argument in part.arguments(write.parameters)
    ]


@cache
def _selection(parts: tuple[CompiledStatement, ...]) -> str:
    rows = ", ".join(f"ARRAY(SELECT {name} FROM {name})" for name in _names(parts))  # noqa: S608
    return f"WITH {_parts(_names(parts), _numbered(parts))} SELECT {rows}"


@cache
def _modification(parts: tuple[CompiledStatement, ...]) -> str:
    return f"WITH {_parts(_names(parts), _numbered(parts))} SELECT"


@cache
def _publication(
    parts: tuple[CompiledStatement, ...], publication: tuple[CompiledStatement, ...]
) -> str:
    """Head and changes are the last two parts. PostgreSQL has to finish the parts before them to
    tell how many rows they wrote, and that is asked before the head is touched."""
    *writes, head, changes = _numbered((*parts, *publication))
    names = _names(writes)
    counted = [f"SELECT count(*) AS n FROM {name}" for name in names]  # noqa: S608
    written = f" WHERE (SELECT sum(n) FROM ({' UNION ALL '.join(counted)}) AS written) >= 0"  # noqa: S608
    texts = [
        *(f"{write} RETURNING 1" for write in writes),
        f"{head}{written if writes else ''} RETURNING position",
        changes,
    ]
    everything = _parts([*names, "head", "published"], texts)
    return f"WITH {everything} SELECT position FROM head"  # noqa: S608  (compiled parts)


@cache
def _checked_publication(parts: tuple[CompiledStatement, ...], checked: tuple[bool, ...]) -> str:
    """Locks are the first part, head and changes the last two. What must hold is divided by, for a
    statement has no other way to undo itself. The checks are made in their order, so nothing is
    changed before the locks are held."""
    locks, *writes, head, changes = _numbered(parts)
    names = _names(writes)
    parameter = sum(part.parameter_count for part in parts)
    holds = ["SELECT 1 / held::int AS n FROM locks"]
    for name, is_checked in zip(names, checked, strict=True):
        if is_checked:
            parameter += 1
            holds.append(f"SELECT 1 / (count(*) = ${parameter}::bigint)::int FROM {name}")  # noqa: S608
        else:
            holds.append(f"SELECT count(*) FROM {name}")  # noqa: S608
    texts = [
        locks,
        *(f"{write} RETURNING 1" for write in writes),
        f"{head} WHERE (SELECT sum(n) FROM ({' UNION ALL '.join(holds)}) AS holding) >= 0 "  # noqa: S608
        "RETURNING position",
        changes,
    ]
    everything = _parts(["locks", *names, "head", "published"], texts)
    return f"WITH {everything} SELECT position FROM head"  # noqa: S608  (compiled parts)


def _names(parts: Sequence[object]) -> list[str]:
    return [f"part{number}" for number in range(len(parts))]


def _parts(names: Sequence[str], texts: Sequence[str]) -> str:
    return ", ".join(f"{name} AS ({text})" for name, text in zip(names, texts, strict=True))


def _numbered(parts: Sequence[CompiledStatement]) -> list[str]:
    """With their parameters numbered on from one to the next."""
    texts = []
    offset = 0
    for part in parts:
        texts.append(_renumbered(part.sql, offset))
        offset += part.parameter_count
    return texts


def _renumbered(sql: str, offset: int) -> str:
    return _PLACEHOLDER.sub(lambda placeholder: f"${int(placeholder[1]) + offset}", sql)
