"""Many rows in one statement: as JSON on PostgreSQL, executemany on SQLite.

PostgreSQL then plans and runs once what it would otherwise do for every row.
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
from sqlalchemy.types import TypeEngine, UserDefinedType

from db.driver.any_of import among_parameter
from db.driver.compiled_statements import HotStatement
from db.tables.models import Base

Rows = Sequence[Mapping[str, Any]]
Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]
ROW_ID = "row_id"
VERSION = "version"
_POSTGRESQL: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy left it bare


def bulk_insert(model: type[Base], rows: Rows) -> tuple[HotStatement, dict[str, Any]]:
    """For PostgreSQL. All rows have the same columns."""
    insert_all, given = _insert_all(model, tuple(rows[0]))
    return insert_all, given.parameters(rows)


def bulk_update(model: type[Base], rows: Rows) -> tuple[HotStatement, dict[str, Any]]:
    """For PostgreSQL. `row_id` in each row says which one, and `version`, if they have it, that it
    must still be of this version; the others are what it becomes."""
    update_all, given = _update_all(model, tuple(rows[0]))
    return update_all, given.parameters(rows)


def bulk_delete(model: type[Base], ids: Sequence[int]) -> tuple[HotStatement, dict[str, Any]]:
    """For both databases."""
    return _delete(model), {"ids": list(ids)}


def insert_each(model: type[Base], rows: Rows) -> HotStatement:
    """For SQLite: the same for one row at a time."""
    return _insert_each(model, tuple(rows[0]))


def update_each(model: type[Base], rows: Rows) -> HotStatement:
    """For SQLite: the same for one row at a time."""
    return _update_each(model, tuple(name for name in rows[0] if name != ROW_ID))


@cache
def _delete(model: type[Base]) -> HotStatement:
    table = _table(model)
    return HotStatement(delete(table).where(among_parameter(table.c.id, "ids")))


@cache
def _insert_each(model: type[Base], names: tuple[str, ...]) -> HotStatement:
    values: dict[str, Any] = {name: bindparam(name) for name in names}
    return HotStatement(insert(_table(model)).values(values))


@cache
def _update_each(model: type[Base], names: tuple[str, ...]) -> HotStatement:
    table = _table(model)
    values: dict[str, Any] = {name: bindparam(name) for name in names}
    return HotStatement(update(table).where(table.c.id == bindparam(ROW_ID)).values(values))


@cache
def _insert_all(model: type[Base], names: tuple[str, ...]) -> tuple[HotStatement, "JsonRows"]:
    given = JsonRows(model, names)
    return (
        given.statement(
            f"INSERT INTO {model.__tablename__} ({', '.join(names)}) "  # noqa: S608  (names of ours)
            f"SELECT {', '.join(names)} FROM {given.source}"
        ),
        given,
    )


@cache
def _update_all(model: type[Base], names: tuple[str, ...]) -> tuple[HotStatement, "JsonRows"]:
    given = JsonRows(model, names)
    table = model.__tablename__
    settings = [f"{name} = given.{name}" for name in names if name not in (ROW_ID, VERSION)]
    same = f" AND {table}.xmin = given.{VERSION}" if VERSION in names else ""
    return (
        given.statement(
            f"UPDATE {table} SET {', '.join(settings)} FROM {given.source} "  # noqa: S608  (ours)
            f"WHERE {table}.id = given.{ROW_ID}{same}"
        ),
        given,
    )


class JsonRows:
    """Rows of a table as one parameter; bytes, which JSON has none of, as an array beside it. An
    array for every column would cost the driver twice as much."""

    def __init__(self, model: type[Base], names: Sequence[str]) -> None:
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
        """What to select from. `number` counts the rows from 1."""

    def parameters(self, rows: Rows) -> dict[str, Any]:
        arrays = {name: [row[name] for row in rows] for name in self._bytes}
        if self._bytes:
            rows = [{name: row[name] for name in self._names} for row in rows]
        return {"rows": rows, **arrays}

    def statement(self, sql: str, *others: BindParameter[Any]) -> HotStatement:
        """One that selects from the source, and has other parameters."""
        return HotStatement(text(sql).bindparams(bindparam("rows", type_=_AsJson()), *others))


class _AsJson(UserDefinedType[Rows]):
    """Moments, words of the domain and what is stored as JSON are written as the columns have
    them: PostgreSQL makes texts of JSON values as they are."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[Rows | None], str]:
        return lambda rows: msgspec.json.encode(rows).decode()


def _table(model: type[Base]) -> Table:
    table = model.__table__
    if not isinstance(table, Table):
        raise TypeError(f"{model.__name__} is not stored in a table.")
    return table


def _stored_as(type: TypeEngine[Any]) -> str:
    stored = type.dialect_impl(_POSTGRESQL)
    kind = getattr(stored, "impl_instance", stored)
    if isinstance(kind, String) and not isinstance(kind, LargeBinary):
        # Without a length or collation: those belong to the column.
        return "TEXT"
    return kind.compile(_POSTGRESQL)
