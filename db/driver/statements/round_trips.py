"""Several compiled statements in one round trip to the database: an optimisation.

A batch of events needs a dozen small statements. Most of what each of them costs is the way to
PostgreSQL and back, so those that do not need each other's results travel together, as the parts
of one WITH. Run one after the other they would do the same.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, TypeVar

import asyncpg  # type: ignore[import-untyped]  # it ships no types

from db.driver.sqlite_driver import OneTripConnection
from db.driver.statements.compiled_statements import CompiledStatement, DriverStatement, SqlRow

T = TypeVar("T")

_PLACEHOLDER = re.compile(r"\$(\d+)")


@dataclass(slots=True)
class Query(Generic[T]):
    """A compiled statement, its parameters, and the function that reads its rows."""

    statement: CompiledStatement
    parameters: Mapping[str, Any]
    read: Callable[[Sequence[SqlRow]], T]
    _rows: Sequence[SqlRow] | None = field(default=None, init=False)

    def answer(self, rows: Sequence[SqlRow]) -> None:
        self._rows = rows

    @property
    def found(self) -> T:
        """The result, once a session has fetched the query. Raises RuntimeError before that."""
        if self._rows is None:
            raise RuntimeError("The query has no rows yet; a session must fetch it first.")
        return self.read(self._rows)


@dataclass(frozen=True, slots=True)
class Write:
    """A compiled statement that changes rows, and its parameters.

    `expected` is the number of rows it changes if nobody else has changed one since they were
    read; None where that does not matter.
    """

    statement: CompiledStatement
    parameters: Mapping[str, Any]
    expected: int | None = None


async def fetch_queries(
    driver: asyncpg.Connection | OneTripConnection, queries: Sequence[Query[Any]]
) -> None:
    """Gives each query its rows, in one round trip for all of them."""
    if isinstance(driver, OneTripConnection):
        await _fetch_in_turn(driver, queries)
    else:
        await _fetch_together(driver, queries)


async def _fetch_together(driver: asyncpg.Connection, queries: Sequence[Query[Any]]) -> None:
    parts = tuple(query.statement.for_postgres() for query in queries)
    (record,) = await driver.fetch(_selection(parts), *arguments_of(parts, queries))
    for part, query, found in zip(parts, queries, record, strict=True):
        query.answer(part.rows(found))


async def _fetch_in_turn(driver: OneTripConnection, queries: Sequence[Query[Any]]) -> None:
    parts = [query.statement.for_sqlite() for query in queries]
    statements = [
        (part.sql, part.arguments(query.parameters))
        for part, query in zip(parts, queries, strict=True)
    ]
    for part, query, rows in zip(parts, queries, await driver.fetch(*statements), strict=True):
        query.answer(part.rows(rows))


async def write_together(driver: asyncpg.Connection, writes: Sequence[Write]) -> None:
    """Sends the writes to PostgreSQL as one statement.

    PostgreSQL runs them in no particular order, each on the rows of before, so they must concern
    different rows. It checks foreign keys when all of them are done.
    """
    parts = tuple(write.statement.for_postgres() for write in writes)
    await driver.fetch(_modification(parts), *arguments_of(parts, writes))


def arguments_of(
    parts: Sequence[DriverStatement], statements: Sequence[Query[Any] | Write]
) -> list[Any]:
    """Returns the arguments of all the parts, one after the other."""
    return [
        argument
        for part, statement in zip(parts, statements, strict=True)
        for argument in part.arguments(statement.parameters)
    ]


def part_names(parts: Sequence[object]) -> list[str]:
    return [f"part{number}" for number in range(len(parts))]


def with_clause(names: Sequence[str], texts: Sequence[str]) -> str:
    parts = (f"{name} AS ({text})" for name, text in zip(names, texts, strict=True))
    return f"WITH {', '.join(parts)}"


def numbered_texts(parts: Sequence[DriverStatement]) -> list[str]:
    """Returns the texts of the parts, with parameters numbered on from one part to the next."""
    texts = []
    offset = 0
    for part in parts:
        texts.append(_renumbered(part.sql, offset))
        offset += part.parameter_count
    return texts


@cache
def _selection(parts: tuple[DriverStatement, ...]) -> str:
    names = part_names(parts)
    rows = ", ".join(f"ARRAY(SELECT {name} FROM {name})" for name in names)  # noqa: S608
    return f"{with_clause(names, numbered_texts(parts))} SELECT {rows}"


@cache
def _modification(parts: tuple[DriverStatement, ...]) -> str:
    return f"{with_clause(part_names(parts), numbered_texts(parts))} SELECT"


def _renumbered(sql: str, offset: int) -> str:
    return _PLACEHOLDER.sub(lambda placeholder: f"${int(placeholder[1]) + offset}", sql)
