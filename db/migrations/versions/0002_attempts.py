"""The history of attempts, and an index that finds what is due.

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
instant = sa.DateTime(timezone=True)
DUE = sa.text("next_attempt_at IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "sync_attempts",
        sa.Column("id", row_id, nullable=False),
        sa.Column("entry_id", row_id, nullable=False),
        sa.Column("attempted_at", instant, nullable=False),
        sa.Column("trigger", sa.String(16), nullable=False),
        sa.Column("actor", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(16)),
        sa.Column("detail", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_sync_attempts"),
        sa.ForeignKeyConstraint(["entry_id"], ["sync_log.id"], name="fk_sync_attempts_entry_id"),
    )
    op.create_index("ix_sync_attempts_entry_id", "sync_attempts", ["entry_id"])
    op.create_index(
        "ix_sync_log_due",
        "sync_log",
        ["next_attempt_at"],
        postgresql_where=DUE,
        sqlite_where=DUE,
    )


def downgrade() -> None:
    op.drop_index("ix_sync_log_due", "sync_log")
    op.drop_table("sync_attempts")
