"""Statements that are compiled once and handed to the driver as text: an optimisation.

Whatever is run here could be executed through SQLAlchemy instead, with the same result, as
`ReadSession.all` does; that costs several times what the statement itself costs. The column types
still convert what goes in and what comes out.
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
from db.driver.statements.column_types import Instant, Json, Level
from db.vocabulary import AccessLevel

Convert = Callable[[Any], Any]
SqlRow = Sequence[Any]

_POSTGRES: Dialect = PGDialect_asyncpg()  # type: ignore[no-untyped-call]  # SQLAlchemy left it bare
_SQLITE: Dialect = SQLiteDialect_aiosqlite()


class CompiledStatement:
    """A statement that is built at import and compiled, for one driver, when it is first run.

    `on_sqlite` replaces the statement on SQLite where no statement suits both databases.
    """

    def __init__(self, statement: Executable, *, on_sqlite: Executable | None = None) -> None:
        self.statement = statement
        self.on_sqlite = statement if on_sqlite is None else on_sqlite
        self._for_postgres: DriverStatement | None = None
        self._for_sqlite: DriverStatement | None = None

    def for_postgres(self) -> "DriverStatement":
        if self._for_postgres is None:
            self._for_postgres = DriverStatement(self.statement, _POSTGRES)
        return self._for_postgres

    def for_sqlite(self) -> "DriverStatement":
        if self._for_sqlite is None:
            self._for_sqlite = DriverStatement(self.on_sqlite, _SQLITE)
        return self._for_sqlite

    async def run(
        self, driver: asyncpg.Connection | OneTripConnection, parameters: Mapping[str, Any]
    ) -> Sequence[SqlRow]:
        """Returns the rows. Raises the driver's own errors."""
        if isinstance(driver, OneTripConnection):
            compiled = self.for_sqlite()
            (records,) = await driver.fetch((compiled.sql, compiled.arguments(parameters)))
        else:
            compiled = self.for_postgres()
            records = await driver.fetch(compiled.sql, *compiled.arguments(parameters))
        return compiled.rows(records)

    async def run_each_on_sqlite(
        self, driver: OneTripConnection, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Runs the statement once for each row of parameters. Raises the driver's own errors."""
        compiled = self.for_sqlite()
        await driver.run_each(compiled.sql, [compiled.arguments(row) for row in rows])


class DriverStatement:
    """The text of a statement for one driver, with the conversions of its parameters and rows."""

    def __init__(self, statement: Executable, dialect: Dialect) -> None:
        if not isinstance(statement, ClauseElement):
            raise TypeError(f"{type(statement).__name__} has no clauses and cannot be compiled.")
        compiled = statement.compile(dialect=dialect)
        if not isinstance(compiled, SQLCompiler):
            raise TypeError(f"{type(statement).__name__} takes no parameters and gives no rows.")
        self.sql = str(compiled)
        self._inputs: list[tuple[str, Convert | None]] = []
        for name in compiled.positiontup or ():
            kind = compiled.binds[name].type.dialect_impl(dialect)
            self._inputs.append((name, kind.bind_processor(dialect)))
        columns = compiled._result_columns  # noqa: SLF001  (no public attribute has the types)
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
        """Returns the parameters in the order and types that the driver expects."""
        arguments = []
        for name, convert in self._inputs:
            value = parameters[name] if name in parameters else self._defaults[name]
            arguments.append(value if convert is None else convert(value))
        return arguments

    def rows(self, records: Sequence[SqlRow]) -> Sequence[SqlRow]:
        """Converts the driver's rows to those that SQLAlchemy would return."""
        if not self._outputs:
            return records
        rows = [list(record) for record in records]
        for place, convert in self._outputs:
            for row in rows:
                row[place] = convert(row[place])
        return rows


def _reader(type: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    """Returns the conversion from the driver's value to the column's; None where they are equal.

    asyncpg, for one, returns moments in UTC already. SQLAlchemy's own conversions of enumerations
    and JSON are several times slower than those here.
    """
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
