"""Ids for rows that are about to be inserted, so that other rows can refer to them at once."""

from collections.abc import Sequence
from functools import cache

from sqlalchemy import text

from db.driver.statements.compiled_statements import CompiledStatement, SqlRow
from db.driver.statements.round_trips import Query
from db.tables.models import Base, Member


def new_ids(table: type[Base], count: int) -> Query[list[int]]:
    """Returns so many unused ids. On PostgreSQL those that are not used then stay unused."""
    return Query(_next_ids(table.__tablename__), {"count": count}, _first_column)


@cache
def _next_ids(table: str) -> CompiledStatement:
    sequence = f"SELECT nextval('{table}_id_seq') FROM generate_series(1, CAST(:count AS int))"  # noqa: S608
    # SQLite has a single writer: nobody takes these ids before they are used.
    numbers = "SELECT 1 WHERE :count > 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count"
    last = f"SELECT coalesce(max(id), 0) FROM {table}"  # noqa: S608
    if table == Member.__tablename__:
        # Clients may still hold the id of somebody who was forgotten.
        gone = "SELECT coalesce(max(last_member_id), 0) FROM forgotten_persons"
        last = f"SELECT max(({last}), ({gone}))"
    counted = f"WITH RECURSIVE numbers(n) AS ({numbers}) SELECT n + ({last}) FROM numbers"  # noqa: S608
    return CompiledStatement(text(sequence), on_sqlite=text(counted))


def _first_column(rows: Sequence[SqlRow]) -> list[int]:
    return [row[0] for row in rows]
