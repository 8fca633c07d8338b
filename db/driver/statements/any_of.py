"""`column is any of these values`, with all values in one parameter.

SQLAlchemy's IN makes a different statement for each number of values, which the database would
have to prepare anew. Here the statement stays the same: `= ANY(array)` on PostgreSQL, json_each on
SQLite.
"""

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import Column, ColumnElement, Dialect, Text, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import TypeDecorator, TypeEngine


class _Values(TypeDecorator[list[Any]]):
    """An array on PostgreSQL, JSON text on SQLite."""

    impl = Text
    cache_ok = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(ARRAY(self.item))
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: list[Any] | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return msgspec.json.encode(value).decode()


class _IsAnyOf(GenericFunction[bool]):
    """The condition that the functions below return; the two functions after it write its SQL."""

    name = "is_any_of"
    inherit_cache = True


@compiles(_IsAnyOf, "postgresql")
def _any(element: _IsAnyOf, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} = ANY({values})"


@compiles(_IsAnyOf, "sqlite")
def _json_each(element: _IsAnyOf, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608  (compiled parts)


def any_of(
    column: InstrumentedAttribute[Any], values: Collection[int] | Collection[str]
) -> ColumnElement[bool]:
    """Returns the condition that the column is one of these values."""
    return _IsAnyOf(column, bindparam(None, list(values), type_=_Values(column.type)))


def any_of_parameter(
    column: InstrumentedAttribute[Any] | Column[Any], name: str
) -> ColumnElement[bool]:
    """Returns the condition that the column is one of the values of this parameter, given at
    execution."""
    return _IsAnyOf(column, bindparam(name, type_=_Values(column.type)))
