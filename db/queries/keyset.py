"""Keyset pages: where a page begins is told by the values of its neighbour, not by a number of
rows, so that pages neither repeat nor skip when rows come and go between them."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import BigInteger, ColumnElement, bindparam, tuple_
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql import Select

from db.driver.compiled_statements import CompiledStatement
from db.driver.statement_cache import StatementCache
from db.sessions import ReadSession

T = TypeVar("T")
R = TypeVar("R")

KeyValues = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class KeysetColumn:
    """A column of the order. It must never be NULL; all columns of an order run the same way."""

    expression: ColumnElement[Any] | InstrumentedAttribute[Any]
    descending: bool = False


@dataclass(frozen=True, slots=True)
class PageRequest:
    """At most `size` rows after (or, `backward`, before) the row with these key values."""

    size: int
    start: KeyValues | None = None
    backward: bool = False


@dataclass(frozen=True, slots=True)
class Slice(Generic[T]):
    """Rows in the requested order whichever way was read, each with its key values."""

    rows: Sequence[T]
    keys: Sequence[KeyValues]
    has_next: bool
    has_previous: bool

    def map(self, convert: Callable[[T], R]) -> "Slice[R]":
        rows = [convert(row) for row in self.rows]
        return Slice(rows, self.keys, self.has_next, self.has_previous)


class PageStatements:
    """The statements for pages of one table, by what is asked for; ties are broken by the id."""

    def __init__(self, id_column: InstrumentedAttribute[int]) -> None:
        self._id_column = id_column
        self._statements = StatementCache()

    def statement(
        self,
        shape: Hashable,
        page: PageRequest,
        order: Sequence[KeysetColumn],
        select_all: Callable[[], Select[*tuple[Any, ...]]],
    ) -> CompiledStatement:
        """`select_all`, which is called only for a new shape, gives every row, in no order."""
        return self._statements.statement(
            (shape, page.backward, page.start is not None),
            lambda: self._build(page, order, select_all()),
        )

    def _build(
        self, page: PageRequest, order: Sequence[KeysetColumn], rows: Select[*tuple[Any, ...]]
    ) -> Select[*tuple[Any, ...]]:
        columns = [*order, KeysetColumn(self._id_column, order[0].descending)]
        query = rows.add_columns(*(column.expression for column in columns))
        if page.start is not None:
            query = query.where(_beyond(columns, page.start, backward=page.backward))
        for column in columns:
            query = query.order_by(
                column.expression.desc()
                if column.descending != page.backward
                else column.expression.asc()
            )
        # One more than asked tells whether there is another page.
        return query.limit(bindparam("one_more", page.size + 1, type_=BigInteger))


async def read_page(
    session: ReadSession,
    statement: CompiledStatement,
    page: PageRequest,
    values: Mapping[str, Any],
    keys: int,
) -> Slice[Sequence[Any]]:
    """The last columns of the statement, so many, are the key; the rows hold the others."""
    parameters = {**values, "one_more": page.size + 1}
    for number, value in enumerate(page.start or ()):
        parameters[f"key_{number}"] = value
    found = await session.rows(statement, parameters)
    more = len(found) > page.size
    found = found[page.size - 1 :: -1] if page.backward else found[: page.size]
    started_inside = page.start is not None
    return Slice(
        rows=[row[:-keys] for row in found],
        keys=[tuple(row[-keys:]) for row in found],
        has_next=started_inside if page.backward else more,
        has_previous=more if page.backward else started_inside,
    )


def _beyond(
    columns: Sequence[KeysetColumn], start: KeyValues, *, backward: bool
) -> ColumnElement[bool]:
    """(a, b, …) beyond (x, y, …) in the order; as a comparison of rows, an index can serve it."""
    keys = [
        bindparam(f"key_{number}", value, type_=column.expression.type)
        for number, (column, value) in enumerate(zip(columns, start, strict=True))
    ]
    row, place = tuple_(*(column.expression for column in columns)), tuple_(*keys)
    return row < place if columns[0].descending != backward else row > place
