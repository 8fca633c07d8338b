"""Statements of the hot path: compiled once, and handed to the PostgreSQL driver as they are.

Taking a statement through all of SQLAlchemy costs several times what running it does. The types
still convert what goes in and what comes out, so both ways give the same. SQLite takes the
ordinary way; there the database itself is the larger part.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it ships no types
from sqlalchemy import Dialect, Executable
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

Convert = Callable[[Any], Any]

_DIALECT: Dialect = PGDialect_asyncpg()  # type: ignore[no-untyped-call]  # SQLAlchemy left it bare


class HotStatement:
    """Built at import, when no database is known; compiled when it is first run."""

    def __init__(self, statement: Executable) -> None:
        self.statement = statement
        self._compiled: _Compiled | None = None

    async def run(
        self, driver: asyncpg.Connection, parameters: Mapping[str, Any]
    ) -> Sequence[Sequence[Any]]:
        """On PostgreSQL. Raises what the driver raises."""
        if self._compiled is None:
            self._compiled = _Compiled(self.statement)
        return await self._compiled.run(driver, parameters)


class _Compiled:
    def __init__(self, statement: Executable) -> None:
        if not isinstance(statement, ClauseElement):
            raise TypeError("Only statements made of clauses can be compiled.")
        compiled = statement.compile(dialect=_DIALECT)
        if not isinstance(compiled, SQLCompiler):
            raise TypeError("Only statements that take and give rows can be hot.")
        self._sql = str(compiled)
        self._inputs: list[tuple[str, Convert | None]] = []
        for name in compiled.positiontup or ():
            kind = compiled.binds[name].type.dialect_impl(_DIALECT)
            self._inputs.append((name, kind.bind_processor(_DIALECT)))
        self._outputs: list[Convert | None] = [
            column.type.dialect_impl(_DIALECT).result_processor(_DIALECT, None)
            for column in compiled._result_columns  # noqa: SLF001  (it is told nowhere else)
        ]
        self._defaults = {name: bind.value for name, bind in compiled.binds.items()}

    async def run(
        self, driver: asyncpg.Connection, parameters: Mapping[str, Any]
    ) -> Sequence[Sequence[Any]]:
        arguments = []
        for name, convert in self._inputs:
            value = parameters[name] if name in parameters else self._defaults[name]
            arguments.append(value if convert is None else convert(value))
        records = await driver.fetch(self._sql, *arguments)
        if not any(self._outputs):
            return [tuple(record) for record in records]
        return [
            [
                value if convert is None else convert(value)
                for value, convert in zip(record, self._outputs, strict=True)
            ]
            for record in records
        ]
