"""Statements of the hot path: compiled once, and handed to the driver as they are.

Taking a statement through all of SQLAlchemy costs several times what running it does. The types
still convert what goes in and what comes out, so both ways give the same.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it ships no types
from sqlalchemy import Dialect, Enum, Executable
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.types import TypeEngine

from db.driver.sqlite_driver import OneTripConnection
from db.tables.column_types import Instant, Json, Level
from db.vocabulary import AccessLevel

Convert = Callable[[Any], Any]

_POSTGRES: Dialect = PGDialect_asyncpg()  # type: ignore[no-untyped-call]  # SQLAlchemy left it bare
_SQLITE: Dialect = SQLiteDialect_aiosqlite()


class HotStatement:
    """Built at import, when no database is known; compiled when it is first run.

    `on_sqlite`: what to run there instead, where the databases have no words in common.
    """

    def __init__(self, statement: Executable, *, on_sqlite: Executable | None = None) -> None:
        self.statement = statement
        self.on_sqlite = statement if on_sqlite is None else on_sqlite
        self._compiled: CompiledStatement | None = None
        self._compiled_for_sqlite: CompiledStatement | None = None

    def compiled(self) -> "CompiledStatement":
        """For PostgreSQL."""
        if self._compiled is None:
            self._compiled = CompiledStatement(self.statement, _POSTGRES)
        return self._compiled

    def compiled_for_sqlite(self) -> "CompiledStatement":
        if self._compiled_for_sqlite is None:
            self._compiled_for_sqlite = CompiledStatement(self.on_sqlite, _SQLITE)
        return self._compiled_for_sqlite

    async def run(
        self, driver: asyncpg.Connection, parameters: Mapping[str, Any]
    ) -> Sequence[Sequence[Any]]:
        """On PostgreSQL. Raises what the driver raises."""
        compiled = self.compiled()
        records = await driver.fetch(compiled.sql, *compiled.arguments(parameters))
        return compiled.rows(records)

    async def run_on_sqlite(
        self, driver: OneTripConnection, parameters: Mapping[str, Any]
    ) -> Sequence[Sequence[Any]]:
        """Raises what the driver raises."""
        compiled = self.compiled_for_sqlite()
        (rows,) = await driver.fetch((compiled.sql, compiled.arguments(parameters)))
        return compiled.rows(rows)

    async def run_each_on_sqlite(
        self, driver: OneTripConnection, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Once for each of the rows, which are its parameters. Raises what the driver raises."""
        compiled = self.compiled_for_sqlite()
        await driver.run_each(compiled.sql, [compiled.arguments(row) for row in rows])


class CompiledStatement:
    def __init__(self, statement: Executable, dialect: Dialect) -> None:
        if not isinstance(statement, ClauseElement):
            raise TypeError("Only statements made of clauses can be compiled.")
        compiled = statement.compile(dialect=dialect)
        if not isinstance(compiled, SQLCompiler):
            raise TypeError("Only statements that take and give rows can be hot.")
        self.sql = str(compiled)
        self._inputs: list[tuple[str, Convert | None]] = []
        for name in compiled.positiontup or ():
            kind = compiled.binds[name].type.dialect_impl(dialect)
            self._inputs.append((name, kind.bind_processor(dialect)))
        columns = compiled._result_columns  # noqa: SLF001  (it is told nowhere else)
        self._outputs = [
            (place, convert)
            for place, column in enumerate(columns)
            if (convert := _reader(column.type, dialect)) is not None
        ]
        self._defaults = {name: bind.value for name, bind in compiled.binds.items()}

    @property
    def parameter_count(self) -> int:
        return len(self._inputs)

    def arguments(self, parameters: Mapping[str, Any]) -> list[Any]:
        """As the driver takes them, by position."""
        arguments = []
        for name, convert in self._inputs:
            value = parameters[name] if name in parameters else self._defaults[name]
            arguments.append(value if convert is None else convert(value))
        return arguments

    def rows(self, records: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        """As SQLAlchemy would give them."""
        if not self._outputs:
            return records
        rows = [list(record) for record in records]
        for place, convert in self._outputs:
            for row in rows:
                row[place] = convert(row[place])
        return rows


def _reader(type: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    """From what the driver gives to what the type means. None where it is the same: moments, for
    one, come from asyncpg in UTC. For the others the way through SQLAlchemy is long."""
    if isinstance(type, Instant) and dialect is _POSTGRES:
        return None
    if isinstance(type, Json):
        return type.read
    known: dict[Any, Any] = {None: None}
    if isinstance(type, Level):
        known.update({int(level): level for level in AccessLevel})
        return known.__getitem__
    if isinstance(type, Enum) and type.enum_class is not None:
        known.update(type.enum_class.__members__)
        return known.__getitem__
    return type.dialect_impl(dialect).result_processor(dialect, None)
