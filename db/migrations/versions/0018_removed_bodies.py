"""When the values of an entry were removed, and an index of those that still have them.

Revision: 0018, after 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None
additive = True

still_there = sa.text("body_removed_at IS NULL")


def upgrade() -> None:
    op.add_column("sync_log", sa.Column("body_removed_at", sa.DateTime(timezone=True)))
    op.create_index(
        "ix_sync_log_bodies",
        "sync_log",
        ["received_at"],
        postgresql_where=still_there,
        sqlite_where=still_there,
    )


def downgrade() -> None:
    op.drop_index("ix_sync_log_bodies", "sync_log")
    op.drop_column("sync_log", "body_removed_at")
