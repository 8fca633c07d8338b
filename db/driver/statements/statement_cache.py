"""Statements that depend on filters, order and page, kept by their shape: an optimisation.

Two statements of one shape differ only in the values of their parameters. Without the cache each
would be built and compiled again, which costs several times what running it does.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable
from enum import Enum
from typing import Any

from sqlalchemy import ColumnElement, Executable, false, literal_column
from sqlalchemy.orm import InstrumentedAttribute

from db.driver.statements.compiled_statements import CompiledStatement

MOST_SHAPES = 500


class StatementCache:
    """The statements of the MOST_SHAPES shapes that were used last."""

    def __init__(self) -> None:
        self._statements: OrderedDict[Hashable, CompiledStatement] = OrderedDict()

    def statement(self, shape: Hashable, build: Callable[[], Executable]) -> CompiledStatement:
        known = self._statements.get(shape)
        if known is not None:
            self._statements.move_to_end(shape)
            return known
        statement = self._statements[shape] = CompiledStatement(build())
        if len(self._statements) > MOST_SHAPES:
            self._statements.popitem(last=False)
        return statement


def in_literals(
    column: ColumnElement[Any] | InstrumentedAttribute[Any], values: Collection[Enum]
) -> ColumnElement[bool]:
    """Returns the condition that the column is one of these values, written into the statement
    itself.

    The planner has to know them to use a partial index and to tell rare values from common ones.
    """
    if not values:
        return false()
    ordered = sorted(values, key=lambda value: value.name)
    stored = [str(int(v)) if isinstance(v, int) else f"'{v.name}'" for v in ordered]
    return column.in_([literal_column(text, column.type) for text in stored])
