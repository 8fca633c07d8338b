"""Keyset pages: a page begins after the key values of a row, not after a number of rows. So pages
neither repeat nor skip rows when others are added or removed between two requests."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import BigInteger, ColumnElement, bindparam, tuple_
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql import Select

from db.driver.statements.compiled_statements import CompiledStatement
from db.driver.statements.statement_cache import StatementCache
from db.sessions import ReadSession

T = TypeVar("T")
R = TypeVar("R")

KeyValues = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class KeysetColumn:
    """A column to order by. It must never be NULL, and all columns have the same direction."""

    expression: ColumnElement[Any] | InstrumentedAttribute[Any]
    descending: bool = False


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A page to be read: at most `size` rows after (or, `backward`, before) the row with these key
    values."""

    size: int
    start: KeyValues | None = None
    backward: bool = False


@dataclass(frozen=True, slots=True)
class Slice(Generic[T]):
    """The rows of a page in the requested order, each with its key values."""

    rows: Sequence[T]
    keys: Sequence[KeyValues]
    has_next: bool
    has_previous: bool

    def map(self, convert: Callable[[T], R]) -> "Slice[R]":
        rows = [convert(row) for row in self.rows]
        return Slice(rows, self.keys, self.has_next, self.has_previous)


class PageStatements:
    """The statements for pages of one table, by their shape. Rows with equal keys come by id."""

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
        """Returns the statement of a page. `select_all` selects all rows, in no order; it is called
        only for a new shape."""
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
        # One row more than requested tells whether there is another page.
        return query.limit(bindparam("one_more", page.size + 1, type_=BigInteger))


async def read_page(
    session: ReadSession,
    statement: CompiledStatement,
    page: PageRequest,
    values: Mapping[str, Any],
    keys: int,
) -> Slice[Sequence[Any]]:
    """Reads a page. The last `keys` columns of the statement are its key; rows are the others."""
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
    """Compares (a, b, …) with (x, y, …). A comparison of rows can be served by an index."""
    keys = [
        bindparam(f"key_{number}", value, type_=column.expression.type)
        for number, (column, value) in enumerate(zip(columns, start, strict=True))
    ]
    row, place = tuple_(*(column.expression for column in columns)), tuple_(*keys)
    return row < place if columns[0].descending != backward else row > place
