"""The privileges of the service's role on PostgreSQL, where another role owns the tables."""

from collections.abc import Iterator

from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from db.tables.models import AuditRecord, Base

EVERYTHING: tuple[str, ...] = ("SELECT", "INSERT", "UPDATE", "DELETE")
_APPEND_ONLY: tuple[str, ...] = ("SELECT", "INSERT")
SCHEMA_VERSION_TABLE = "alembic_version"


def needed_privileges() -> dict[str, tuple[str, ...]]:
    """Returns what the service needs on each table."""
    needed = {table.name: EVERYTHING for table in Base.metadata.sorted_tables}
    needed[AuditRecord.__tablename__] = _APPEND_ONLY
    needed[SCHEMA_VERSION_TABLE] = ("SELECT",)
    return needed


def grants(role: str) -> Iterator[str]:
    """Yields the statements that let a role run the service, for the owner of the tables to run.

    They can be repeated. Tables that later migrations create are covered, too.
    """
    who = _quoted(role)
    for kind, granted in (("TABLES", ", ".join(EVERYTHING)), ("SEQUENCES", "USAGE, SELECT")):
        yield f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT {granted} ON {kind} TO {who};"
    yield f"GRANT USAGE ON SCHEMA public TO {who};"
    yield f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {who};"
    for table, privileges in sorted(needed_privileges().items()):
        yield f"GRANT {', '.join(privileges)} ON {table} TO {who};"
    yield f"REVOKE UPDATE, DELETE, TRUNCATE ON {AuditRecord.__tablename__} FROM {who};"


def _quoted(name: str) -> str:
    dialect = PGDialect_asyncpg()  # type: ignore[no-untyped-call]  # SQLAlchemy left it bare
    return dialect.identifier_preparer.quote(name)
