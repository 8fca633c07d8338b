"""Many rows in one statement: as JSON on PostgreSQL, with executemany on SQLite.

PostgreSQL then plans and runs once what it would otherwise plan and run for every row.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import (
    BindParameter,
    Dialect,
    LargeBinary,
    String,
    Table,
    bindparam,
    delete,
    insert,
    text,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeEngine, UserDefinedType

from db.driver.statements.any_of import any_of_parameter
from db.driver.statements.compiled_statements import CompiledStatement

Model = type[DeclarativeBase]
Rows = Sequence[Mapping[str, Any]]
Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]
ROW_ID = "row_id"
VERSION = "version"
_POSTGRESQL: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy left it bare


def bulk_insert(model: Model, rows: Rows) -> tuple[CompiledStatement, dict[str, Any]]:
    """Returns the statement, for PostgreSQL, and its parameters. All rows have the same columns."""
    insert_all, given = _insert_all(model, tuple(rows[0]))
    return insert_all, given.parameters(rows)


def bulk_update(model: Model, rows: Rows) -> tuple[CompiledStatement, dict[str, Any]]:
    """Returns the statement, for PostgreSQL, and its parameters.

    The row with the id `row_id` gets the other values; if rows have a `version`, only while it is
    still of that version.
    """
    update_all, given = _update_all(model, tuple(rows[0]))
    return update_all, given.parameters(rows)


def bulk_delete(model: Model, ids: Sequence[int]) -> tuple[CompiledStatement, dict[str, Any]]:
    """Returns the statement, for both databases, and its parameters."""
    return _delete(model), {"ids": list(ids)}


def insert_each(model: Model, rows: Rows) -> CompiledStatement:
    """Returns the statement for SQLite, which inserts one row at a time."""
    return _insert_each(model, tuple(rows[0]))


def update_each(model: Model, rows: Rows) -> CompiledStatement:
    """Returns the statement for SQLite, which updates one row at a time."""
    return _update_each(model, tuple(name for name in rows[0] if name != ROW_ID))


@cache
def _delete(model: Model) -> CompiledStatement:
    table = _table(model)
    return CompiledStatement(delete(table).where(any_of_parameter(table.c.id, "ids")))


@cache
def _insert_each(model: Model, names: tuple[str, ...]) -> CompiledStatement:
    values: dict[str, Any] = {name: bindparam(name) for name in names}
    return CompiledStatement(insert(_table(model)).values(values))


@cache
def _update_each(model: Model, names: tuple[str, ...]) -> CompiledStatement:
    table = _table(model)
    values: dict[str, Any] = {name: bindparam(name) for name in names}
    return CompiledStatement(update(table).where(table.c.id == bindparam(ROW_ID)).values(values))


@cache
def _insert_all(model: Model, names: tuple[str, ...]) -> tuple[CompiledStatement, "JsonRows"]:
    given = JsonRows(model, names)
    return (
        given.statement(
            f"INSERT INTO {model.__tablename__} ({', '.join(names)}) "  # noqa: S608  (names of ours)
            f"SELECT {', '.join(names)} FROM {given.source}"
        ),
        given,
    )


@cache
def _update_all(model: Model, names: tuple[str, ...]) -> tuple[CompiledStatement, "JsonRows"]:
    given = JsonRows(model, names)
    table = model.__tablename__
    settings = [f"{name} = given.{name}" for name in names if name not in (ROW_ID, VERSION)]
    unchanged = f" AND {table}.xmin = given.{VERSION}" if VERSION in names else ""
    return (
        given.statement(
            f"UPDATE {table} SET {', '.join(settings)} FROM {given.source} "  # noqa: S608  (ours)
            f"WHERE {table}.id = given.{ROW_ID}{unchanged}"
        ),
        given,
    )


class JsonRows:
    """Rows of a table as one parameter in JSON, with an array for each column of bytes.

    An array for every column would cost the driver twice as much.
    """

    def __init__(self, model: Model, names: Sequence[str]) -> None:
        columns = _table(model).c
        others = {ROW_ID: "BIGINT", VERSION: "XID"}
        types = {name: others.get(name) or _stored_as(columns[name].type) for name in names}
        self._bytes = [name for name, type in types.items() if type == "BYTEA"]
        self._names = [name for name in names if name not in self._bytes]
        columns_of_json = ", ".join(f"{name} {types[name]}" for name in self._names)
        sources = [
            f"json_to_recordset(CAST(:rows AS json)) AS ({columns_of_json})",
            *(f"unnest(CAST(:{name} AS bytea[]))" for name in self._bytes),
        ]
        self.source = (
            f"ROWS FROM ({', '.join(sources)}) WITH ORDINALITY "
            f"AS given({', '.join([*self._names, *self._bytes])}, number)"
        )
        """The FROM clause with these rows; its column `number` counts them from 1."""

    def parameters(self, rows: Rows) -> dict[str, Any]:
        arrays = {name: [row[name] for row in rows] for name in self._bytes}
        if self._bytes:
            rows = [{name: row[name] for name in self._names} for row in rows]
        return {"rows": rows, **arrays}

    def statement(self, sql: str, *others: BindParameter[Any]) -> CompiledStatement:
        """Compiles SQL that selects from `source` and has these other parameters."""
        return CompiledStatement(text(sql).bindparams(bindparam("rows", type_=_AsJson()), *others))


class _AsJson(UserDefinedType[Rows]):
    """Rows as JSON text.

    Moments, enumerations and values that are stored as JSON become what their columns hold, since
    PostgreSQL takes the JSON of a value as the text of its column.
    """

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[Rows | None], str]:
        return lambda rows: msgspec.json.encode(rows).decode()


def _table(model: Model) -> Table:
    table = model.__table__
    if not isinstance(table, Table):
        raise TypeError(f"{model.__name__} is not stored in a table.")
    return table


def _stored_as(type: TypeEngine[Any]) -> str:
    stored = type.dialect_impl(_POSTGRESQL)
    kind = getattr(stored, "impl_instance", stored)
    if isinstance(kind, String) and not isinstance(kind, LargeBinary):
        # The column itself has a length and a collation; a value needs neither.
        return "TEXT"
    return kind.compile(_POSTGRESQL)
