"""Keyset pages: where a page begins is told by the values of its neighbour, not by a number of
rows, so that pages neither repeat nor skip when rows come and go between them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, TypeVarTuple

from sqlalchemy import ColumnElement, and_, false, or_
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql import Select

from db.unit_of_work import ReadSession

T = TypeVar("T")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")

KeyValues = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class KeysetColumn:
    """A column of the order. It must never be NULL."""

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


async def read_page(
    session: ReadSession,
    statement: Select[*Ts],
    order: Sequence[KeysetColumn],
    id_column: InstrumentedAttribute[int],
    page: PageRequest,
) -> Slice[Sequence[Any]]:
    """The rows hold the columns of `statement`; ties in `order` are broken by the id."""
    descending = order[-1].descending if order else False
    columns = [*order, KeysetColumn(id_column, descending)]
    width = len(statement.selected_columns)
    query = statement.add_columns(*(column.expression for column in columns))
    if page.start is not None:
        query = query.where(_beyond(columns, page.start, backward=page.backward))
    for column in columns:
        query = query.order_by(
            column.expression.desc()
            if column.descending != page.backward
            else column.expression.asc()
        )
    # One more than asked tells whether there is another page.
    found = [tuple(row) for row in await session.all(query.limit(page.size + 1))]
    more = len(found) > page.size
    found = found[: page.size]
    if page.backward:
        found.reverse()
    started_inside = page.start is not None
    return Slice(
        rows=[row[:width] for row in found],
        keys=[row[width:] for row in found],
        has_next=started_inside if page.backward else more,
        has_previous=more if page.backward else started_inside,
    )


def _beyond(
    columns: Sequence[KeysetColumn], start: KeyValues, *, backward: bool
) -> ColumnElement[bool]:
    """(a, b, …) beyond (x, y, …) in the order, written out, since directions may differ."""
    alternatives: list[ColumnElement[bool]] = []
    equal_so_far: list[ColumnElement[bool]] = []
    for column, value in zip(columns, start, strict=True):
        expression = column.expression
        further = expression < value if column.descending != backward else expression > value
        alternatives.append(and_(*equal_so_far, further))
        equal_so_far.append(expression == value)
    return or_(false(), *alternatives)
