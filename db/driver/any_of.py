"""`column is one of these values`, with all values in one parameter.

SQLAlchemy's IN makes a different statement for every number of values, and each of them would be
prepared anew. Here the statement stays the same: `= ANY(array)` on PostgreSQL, json_each on SQLite.
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


class _IsAmong(GenericFunction[bool]):
    """Written by the two functions below."""

    name = "is_among"
    inherit_cache = True


@compiles(_IsAmong, "postgresql")
def _any(element: _IsAmong, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} = ANY({values})"


@compiles(_IsAmong, "sqlite")
def _json_each(element: _IsAmong, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608  (compiled parts)


def among(
    column: InstrumentedAttribute[Any],
    values: Collection[int] | Collection[str],
    name: str | None = None,
) -> ColumnElement[bool]:
    """With a name, the same statement can be executed again with other values."""
    return _IsAmong(column, bindparam(name, list(values), type_=_Values(column.type)))


def among_parameter(
    column: InstrumentedAttribute[Any] | Column[Any], name: str
) -> ColumnElement[bool]:
    """The same with values that are given at execution, for a statement that is built once."""
    return _IsAmong(column, bindparam(name, type_=_Values(column.type)))
