"""Several hot statements in one round trip to PostgreSQL.

A batch of events needs a dozen small statements. What each of them costs is mostly the way there
and back, so those that do not need each other's results travel together, as the parts of one WITH.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

import asyncpg  # type: ignore[import-untyped]  # it ships no types

from db.hot import CompiledStatement, HotStatement

T_co = TypeVar("T_co", covariant=True)

SqlRow = Sequence[Any]
_PLACEHOLDER = re.compile(r"\$(\d+)")


@dataclass(frozen=True, slots=True)
class Query(Generic[T_co]):
    """A hot statement, its parameters, and what its rows mean."""

    statement: HotStatement
    parameters: Mapping[str, Any]
    read: Callable[[Sequence[SqlRow]], T_co]


@dataclass(frozen=True, slots=True)
class Write:
    """A hot statement that changes rows, and its parameters."""

    statement: HotStatement
    parameters: Mapping[str, Any]


async def fetch_together(
    driver: asyncpg.Connection, queries: Sequence[Query[Any]]
) -> list[Sequence[SqlRow]]:
    """The rows of each query. Locks are taken in the order of the queries."""
    parts = tuple(query.statement.compiled() for query in queries)
    arguments = [
        argument
        for part, query in zip(parts, queries, strict=True)
        for argument in part.arguments(query.parameters)
    ]
    (record,) = await driver.fetch(_selection(parts), *arguments)
    return [part.rows(found) for part, found in zip(parts, record, strict=True)]


async def write_together(driver: asyncpg.Connection, writes: Sequence[Write]) -> None:
    """PostgreSQL runs them in no particular order, each as if it were alone: they must concern
    different rows. Foreign keys are checked when all are done."""
    parts = tuple(write.statement.compiled() for write in writes)
    arguments = [
        argument
        for part, write in zip(parts, writes, strict=True)
        for argument in part.arguments(write.parameters)
    ]
    await driver.fetch(_modification(parts), *arguments)


@cache
def _selection(parts: tuple[CompiledStatement, ...]) -> str:
    rows = ", ".join(f"ARRAY(SELECT {name} FROM {name})" for name in _names(parts))  # noqa: S608
    return f"WITH {_numbered(parts)} SELECT {rows}"


@cache
def _modification(parts: tuple[CompiledStatement, ...]) -> str:
    return f"WITH {_numbered(parts)} SELECT"


def _names(parts: Sequence[CompiledStatement]) -> list[str]:
    return [f"part{number}" for number in range(len(parts))]


def _numbered(parts: Sequence[CompiledStatement]) -> str:
    """The parts by name, with their parameters numbered on from one to the next."""
    texts = []
    offset = 0
    for name, part in zip(_names(parts), parts, strict=True):
        texts.append(f"{name} AS ({_renumbered(part.sql, offset)})")
        offset += part.parameter_count
    return ", ".join(texts)


def _renumbered(sql: str, offset: int) -> str:
    return _PLACEHOLDER.sub(lambda placeholder: f"${int(placeholder[1]) + offset}", sql)
