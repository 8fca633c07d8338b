"""Statements that depend on what is asked for: built once for each shape, then only executed.

Two questions of one shape differ in the values of named parameters and in nothing else. To build
and compile a statement costs several times what it costs to run it.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable
from enum import Enum
from typing import Any

from sqlalchemy import ColumnElement, Executable, false, literal_column
from sqlalchemy.orm import InstrumentedAttribute

from db.driver.compiled_statements import HotStatement

MOST_SHAPES = 500


class StatementCache:
    """The statements of the shapes that were asked for lately."""

    def __init__(self) -> None:
        self._statements: OrderedDict[Hashable, HotStatement] = OrderedDict()

    def statement(self, shape: Hashable, build: Callable[[], Executable]) -> HotStatement:
        known = self._statements.get(shape)
        if known is not None:
            self._statements.move_to_end(shape)
            return known
        statement = self._statements[shape] = HotStatement(build())
        if len(self._statements) > MOST_SHAPES:
            self._statements.popitem(last=False)
        return statement


def one_of(
    column: ColumnElement[Any] | InstrumentedAttribute[Any], values: Collection[Enum]
) -> ColumnElement[bool]:
    """Values of an enumeration are part of the statement itself: the planner has to know them to
    use a partial index, and to tell the rare ones from the common."""
    if not values:
        return false()
    ordered = sorted(values, key=lambda value: value.name)
    stored = [str(int(v)) if isinstance(v, int) else f"'{v.name}'" for v in ordered]
    return column.in_([literal_column(text, column.type) for text in stored])
