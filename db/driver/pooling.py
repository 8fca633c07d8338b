"""Detects a pooler that gives each transaction another session of PostgreSQL."""

from contextlib import AsyncExitStack
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it ships no types
from sqlalchemy.engine import make_url

from db.driver.urls import is_sqlite, postgres_arguments
from db.errors import PoolingError

# The pooler may have several sessions to choose from.
_ROUNDS = 5


async def require_own_sessions(url: str) -> None:
    """Raises PoolingError if two connections to PostgreSQL can get the same session."""
    if is_sqlite(url):
        return
    async with AsyncExitStack() as connections:
        one, other = [await connected(url, connections) for _ in range(2)]
        for _ in range(_ROUNDS):
            if await _session(one) == await _session(other):
                raise PoolingError


async def connected(url: str, connections: AsyncExitStack) -> Any:
    """Returns a connection of asyncpg that is closed with `connections`."""
    target, arguments = postgres_arguments(make_url(url))
    given = target.get_dialect()().create_connect_args(target)[1]
    given.pop("prepared_statement_cache_size", None)
    # Without named statements, which such a pooler would lose.
    connection = await asyncpg.connect(**given, **arguments, timeout=5, statement_cache_size=0)
    connections.push_async_callback(connection.close, timeout=5)
    return connection


async def _session(connection: Any) -> int:
    # A transaction, so that all messages of this query reach one session.
    async with connection.transaction():
        session: int = await connection.fetchval("SELECT pg_backend_pid()")
        return session
