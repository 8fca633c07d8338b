"""Many rows in one statement: arrays that are unnested on PostgreSQL, executemany on SQLite.

PostgreSQL then plans and runs once what it would otherwise do for every row.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

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


def bulk_update_of_versions(
    model: type[Base], rows: Rows, versions: Sequence[int | None]
) -> tuple[HotStatement, dict[str, list[Any]]]:
    """The same, of those rows that are still of these versions."""
    names = tuple(name for name in rows[0] if name != ROW_ID)
    parameters = _arrays(rows, (ROW_ID, *names))
    parameters["versions"] = list(versions)
    return _unnested_update_of_versions(model, names), parameters


def bulk_delete(model: type[Base], ids: Sequence[int]) -> tuple[HotStatement, dict[str, Any]]:
    """For both databases."""
    return _delete(model), {"ids": list(ids)}


def insert_each(model: type[Base], rows: Rows) -> HotStatement:
    """For SQLite: the same for one row at a time."""
    return _insert_each(model, tuple(rows[0]))


def update_each(model: type[Base], rows: Rows) -> HotStatement:
    """For SQLite: the same for one row at a time."""
    return _update_each(model, tuple(name for name in rows[0] if name != ROW_ID))


def _arrays(rows: Rows, names: Sequence[str]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in names}


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
def _unnested_insert(model: type[Base], names: tuple[str, ...]) -> HotStatement:
    arrays = ColumnArrays(model, names)
    return arrays.statement(
        f"INSERT INTO {model.__tablename__} ({', '.join(names)}) "  # noqa: S608  (names of ours)
        f"SELECT * FROM unnest({arrays.casts})"
    )


@cache
def _unnested_update(model: type[Base], names: tuple[str, ...]) -> HotStatement:
    arrays = ColumnArrays(model, (ROW_ID, *names))
    table = model.__tablename__
    return arrays.statement(
        f"UPDATE {table} SET {_settings(names)} "  # noqa: S608  (names of our own tables)
        f"FROM unnest({arrays.casts}) AS given({ROW_ID}, {', '.join(names)}) "
        f"WHERE {table}.id = given.{ROW_ID}"
    )


@cache
def _unnested_update_of_versions(model: type[Base], names: tuple[str, ...]) -> HotStatement:
    arrays = ColumnArrays(model, (ROW_ID, *names))
    table = model.__tablename__
    given = f"given({ROW_ID}, {', '.join(names)}, version)"
    return arrays.statement(
        f"UPDATE {table} SET {_settings(names)} "  # noqa: S608  (names of our own tables)
        f"FROM unnest({arrays.casts}, CAST(:versions AS xid[])) AS {given} "
        f"WHERE {table}.id = given.{ROW_ID} AND {table}.xmin = given.version"
    )


def _settings(names: Sequence[str]) -> str:
    return ", ".join(f"{name} = given.{name}" for name in names)


class ColumnArrays:
    """Columns of a table as parameters that hold a value for every row."""

    def __init__(self, model: type[Base], names: Sequence[str]) -> None:
        columns = _table(model).c
        self._types = {name: columns["id" if name == ROW_ID else name].type for name in names}

    @property
    def casts(self) -> str:
        """As arguments of unnest."""
        return ", ".join(
            f"CAST(:{name} AS {_stored_as(type)}[])" for name, type in self._types.items()
        )

    def statement(self, sql: str, *others: BindParameter[Any]) -> HotStatement:
        """One in which the arrays, and others, are parameters."""
        arrays = [bindparam(name, type_=_Array(type)) for name, type in self._types.items()]
        return HotStatement(text(sql).bindparams(*arrays, *others))


class _Array(UserDefinedType[Sequence[Any]]):
    """Of one dimension: a value that is a list itself is one element."""

    cache_ok = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        self.item = item

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], list[Any]] | None:
        convert = self.item.dialect_impl(dialect).bind_processor(dialect)
        return None if convert is None else lambda values: [convert(value) for value in values]


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
