"""Listens to what is sent to databases."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from db.driver.sqlite_driver import OneTripConnection


@contextmanager
def recorded() -> Iterator[list[str]]:
    """The statements that this process sends to any database meanwhile."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement != "BEGIN":
            statements.append(statement)

    fetch = asyncpg.Connection.fetch

    async def noted_fetch(connection: Any, statement: str, *arguments: Any) -> Any:
        statements.append(statement)
        return await fetch(connection, statement, *arguments)

    fetch_on_sqlite = OneTripConnection.fetch

    async def noted_fetch_on_sqlite(connection: Any, *parts: Any) -> Any:
        statements.extend(sql for sql, _ in parts)
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


_OF_TASKS = ("BEGIN", "SELECT changes.", "SELECT feed_head.", "SELECT min(", "DELETE FROM changes")


def of_requests(statements: list[str]) -> list[str]:
    """Leaves out statements of background tasks: feed, retry worker, retention, refusals."""
    of_tasks = (
        "next_attempt_at <= ",
        "refused_deliveries",
        "body_removed_at IS NULL",
        "pg_advisory",
    )
    return [
        statement
        for statement in statements
        if not statement.startswith(_OF_TASKS) and not any(part in statement for part in of_tasks)
    ]
