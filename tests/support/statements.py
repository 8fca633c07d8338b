"""Listens to what is sent to databases."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from db.driver.sqlite_driver import OneTripConnection


class Statement(str):
    """A statement, with the name of the task that sent it."""

    task: str

    def __new__(cls, text: str) -> "Statement":
        statement = super().__new__(cls, text)
        task = asyncio.current_task()
        statement.task = "" if task is None else task.get_name()
        return statement


@contextmanager
def recorded() -> Iterator[list[Statement]]:
    """The statements that this process sends to any database meanwhile."""
    statements: list[Statement] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement != "BEGIN":
            statements.append(Statement(statement))

    fetch = asyncpg.Connection.fetch

    async def noted_fetch(connection: Any, statement: str, *arguments: Any) -> Any:
        statements.append(Statement(statement))
        return await fetch(connection, statement, *arguments)

    fetch_on_sqlite = OneTripConnection.fetch

    async def noted_fetch_on_sqlite(connection: Any, *parts: Any) -> Any:
        statements.extend(Statement(sql) for sql, _ in parts)
        return await fetch_on_sqlite(connection, *parts)

    event.listen(Engine, "before_cursor_execute", note)
    with pytest.MonkeyPatch.context() as patch:
        # Hot statements go past SQLAlchemy, which itself never calls these.
        patch.setattr(asyncpg.Connection, "fetch", noted_fetch)
        patch.setattr(OneTripConnection, "fetch", noted_fetch_on_sqlite)
        try:
            yield statements
        finally:
            event.remove(Engine, "before_cursor_execute", note)


_BESIDE_REQUESTS = {
    "alerts",
    "bell",
    "body retention",
    "change feed",
    "concerns",
    "heartbeat",
    "open connections",
    "refusals",
    "retention",
    "retry worker",
}


def of_requests(statements: list[Statement]) -> list[str]:
    """Leaves out the statements of tasks that run beside requests."""
    return [it for it in statements if it != "BEGIN" and it.task not in _BESIDE_REQUESTS]
