"""Many rows in one statement: arrays that are unnested on PostgreSQL, executemany on SQLite.

PostgreSQL then plans and runs once what it would otherwise do for every row.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    Column,
    Dialect,
    Executable,
    LargeBinary,
    String,
    Table,
    bindparam,
    delete,
    text,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY

from db.among import among_parameter
from db.hot import HotStatement
from db.models import Base

Rows = Sequence[Mapping[str, Any]]
Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]
ROW_ID = "row_id"
_POSTGRESQL: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy left it bare


def bulk_insert(model: type[Base], rows: Rows) -> tuple[HotStatement, dict[str, list[Any]]]:
    """For PostgreSQL. All rows have the same columns."""
    names = tuple(rows[0])
    return _unnested_insert(model, names), _arrays(rows, names)


def bulk_update(model: type[Base], rows: Rows) -> tuple[HotStatement, dict[str, list[Any]]]:
    """For PostgreSQL. `row_id` in each row says which one; the others are what it becomes."""
    names = tuple(name for name in rows[0] if name != ROW_ID)
    return _unnested_update(model, names), _arrays(rows, (ROW_ID, *names))


def bulk_delete(model: type[Base], ids: Sequence[int]) -> tuple[HotStatement, dict[str, Any]]:
    """For both databases."""
    return _delete(model), {"ids": list(ids)}


def update_each(model: type[Base], rows: Rows) -> Executable:
    """For SQLite: the same for one row at a time."""
    return _update_each(model, tuple(name for name in rows[0] if name != ROW_ID))


def _arrays(rows: Rows, names: Sequence[str]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in names}


@cache
def _delete(model: type[Base]) -> HotStatement:
    table = _table(model)
    return HotStatement(delete(table).where(among_parameter(table.c.id, "ids")))


@cache
def _update_each(model: type[Base], names: tuple[str, ...]) -> Executable:
    table = _table(model)
    values: dict[str, Any] = {name: bindparam(name) for name in names}
    return update(model).where(table.c.id == bindparam(ROW_ID)).values(values)


@cache
def _unnested_insert(model: type[Base], names: tuple[str, ...]) -> HotStatement:
    table = _table(model)
    columns = [table.c[name] for name in names]
    return _typed(
        f"INSERT INTO {table.name} ({', '.join(names)}) "  # noqa: S608  (names of our own tables)
        f"SELECT * FROM unnest({_casts(columns, names)})",
        columns,
        names,
    )


@cache
def _unnested_update(model: type[Base], names: tuple[str, ...]) -> HotStatement:
    table = _table(model)
    columns = [table.c.id, *(table.c[name] for name in names)]
    parameters = (ROW_ID, *names)
    settings = ", ".join(f"{name} = given.{name}" for name in names)
    return _typed(
        f"UPDATE {table.name} SET {settings} "  # noqa: S608  (names of our own tables)
        f"FROM unnest({_casts(columns, parameters)}) AS given({', '.join(parameters)}) "
        f"WHERE {table.name}.id = given.{ROW_ID}",
        columns,
        parameters,
    )


def _table(model: type[Base]) -> Table:
    table = model.__table__
    if not isinstance(table, Table):
        raise TypeError(f"{model.__name__} is not stored in a table.")
    return table


def _casts(columns: Sequence[Column[Any]], names: Sequence[str]) -> str:
    return ", ".join(
        f"CAST(:{name} AS {_element_type(column)}[])"
        for column, name in zip(columns, names, strict=True)
    )


def _element_type(column: Column[Any]) -> str:
    stored = column.type.dialect_impl(_POSTGRESQL)
    kind = getattr(stored, "impl_instance", stored)
    if isinstance(kind, String) and not isinstance(kind, LargeBinary):
        # Without a length or collation: those belong to the column.
        return "TEXT"
    return kind.compile(_POSTGRESQL)


def _typed(sql: str, columns: Sequence[Column[Any]], names: Sequence[str]) -> HotStatement:
    """One dimension: a value that is a list itself is one element."""
    return HotStatement(
        text(sql).bindparams(
            *(
                bindparam(name, type_=ARRAY(column.type, dimensions=1))
                for column, name in zip(columns, names, strict=True)
            )
        )
    )
