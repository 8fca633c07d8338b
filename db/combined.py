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

from db.bulk import ColumnArrays
from db.hot import CompiledStatement, HotStatement
from db.models import Change
from db.sqlite_driver import OneTripConnection

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
    """A hot statement that changes rows, and its parameters."""

    statement: HotStatement
    parameters: Mapping[str, Any]


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
    driver: asyncpg.Connection, writes: Sequence[Write], changes: Mapping[str, Any], count: int
) -> int | None:
    """The same, and then the changes, an array for each column; returns the last position. The
    feed's head is locked after everything else is written: what is needed of it is given only
    then."""
    parts = tuple(write.statement.compiled() for write in writes)
    publication = (_HEAD.compiled(), _CHANGES.compiled())
    last = [Write(_HEAD, {"count": count}), Write(_CHANGES, {"count": count, **changes})]
    arguments = _arguments((*parts, *publication), [*writes, *last])
    records = await driver.fetch(_publication(parts, publication), *arguments)
    return records[0][0] if records else None


_FEED_COLUMNS = ("committed_at", "member_id", "entry_id", "access_changed", "facts")
_HEAD = HotStatement(
    text("UPDATE feed_head SET position = position + :count").bindparams(
        bindparam("count", type_=Integer)
    )
)
_FEED_ARRAYS = ColumnArrays(Change, _FEED_COLUMNS)
_CHANGES = _FEED_ARRAYS.statement(
    f"INSERT INTO changes (position, {', '.join(_FEED_COLUMNS)}) "  # noqa: S608  (our columns)
    f"SELECT head.position - :count + given.number, {', '.join(_FEED_COLUMNS)} FROM head, "
    f"unnest({_FEED_ARRAYS.casts}) WITH ORDINALITY AS given({', '.join(_FEED_COLUMNS)}, number)",
    bindparam("count", type_=Integer),
)


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
