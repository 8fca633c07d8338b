"""Stamps hold the sequence of a statement, and a log entry says what may be wrong with it.

A sequence is written as a letter for the number of its digits, then the digits. Earlier statements
have none, which counts as 0.

Revision: 0006, after 0005
"""

import re

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# A stamp is a JSON text that begins with a time: the time, 1 for a deactivation, and more.
_BEFORE = r'"(\d{4}-\d\d-\d\dT[^ "]+) ([01] )'
_AFTER = r'"(\d{4}-\d\d-\d\dT[^ "]+) [a-s]\d+ ([01] )'
_IS_MARKED = sa.text("mark IS NOT NULL")


def upgrade() -> None:
    _rewrite_stamps(_BEFORE, r'"\1 a0 \2')
    op.add_column("sync_log", sa.Column("mark", sa.String(16), nullable=True))
    op.create_index(
        "ix_sync_log_marked",
        "sync_log",
        ["mark", "received_at"],
        postgresql_where=_IS_MARKED,
        sqlite_where=_IS_MARKED,
    )


def downgrade() -> None:
    op.drop_index("ix_sync_log_marked", "sync_log")
    op.drop_column("sync_log", "mark")
    _rewrite_stamps(_AFTER, r'"\1 \2')


def _rewrite_stamps(pattern: str, replacement: str) -> None:
    connection = op.get_bind()
    for table in ("members", "organizations"):
        if connection.dialect.name == "postgresql":
            statement = f"UPDATE {table} SET as_of = regexp_replace(as_of, :old, :new, 'g')"  # noqa: S608
            connection.execute(sa.text(statement), {"old": pattern, "new": replacement})
            continue
        rows = connection.execute(sa.text(f"SELECT id, as_of FROM {table}")).all()  # noqa: S608
        changed = [{"id": id, "as_of": re.sub(pattern, replacement, text)} for id, text in rows]
        if changed:
            update = f"UPDATE {table} SET as_of = :as_of WHERE id = :id"  # noqa: S608
            connection.execute(sa.text(update), changed)
