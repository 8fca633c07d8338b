"""Looks at a PostgreSQL server and at the role by which the service uses it. Changes nothing."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime

from db.driver.driver_errors import driver_errors_translated
from db.driver.pooling import connected
from db.upkeep.privileges import needed_privileges

PARAMETERS = (
    *("autovacuum", "fsync", "full_page_writes", "max_connections", "server_encoding"),
    *("server_version_num", "statement_timeout", "synchronous_commit", "transaction_read_only"),
)


@dataclass(frozen=True, slots=True)
class PostgresState:
    """`lacking` are privileges that the role needs and does not have, as `SELECT on members`.

    `clock` is the server's time at which it was asked.
    """

    parameters: dict[str, str]
    in_recovery: bool
    role: str
    is_superuser: bool
    owns_audit_trail: bool
    lacking: list[str]
    connections: int
    clock: datetime

    @property
    def major_version(self) -> int:
        return int(self.parameters["server_version_num"]) // 10_000


_PARAMETERS = "SELECT name, setting FROM pg_settings WHERE name = ANY($1::text[])"
_ROLE = """
SELECT pg_is_in_recovery() AS in_recovery, current_user::text AS role,
  (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS is_superuser,
  coalesce(
    (SELECT pg_has_role(tableowner, 'USAGE') FROM pg_tables
     WHERE schemaname = current_schema() AND tablename = 'audit_trail'), false
  ) AS owns_audit_trail,
  (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
  clock_timestamp() AS clock
"""
_LACKING = """
SELECT privilege || ' on ' || name
FROM unnest($1::text[], $2::text[]) AS needed(name, privilege)
WHERE to_regclass(name) IS NOT NULL AND NOT has_table_privilege(to_regclass(name), privilege)
ORDER BY 1
"""


async def postgres_state(url: str) -> PostgresState:
    """Raises DatabaseUnavailableError."""
    needed = [(table, it) for table, these in needed_privileges().items() for it in these]
    tables, privileges = zip(*needed, strict=True)
    with driver_errors_translated():
        async with AsyncExitStack() as connections:
            connection = await connected(url, connections)
            parameters = await connection.fetch(_PARAMETERS, PARAMETERS)
            lacking = await connection.fetch(_LACKING, tables, privileges)
            role = await connection.fetchrow(_ROLE)
    return PostgresState(parameters=dict(parameters), lacking=[text for (text,) in lacking], **role)
