"""Concerns: since when they stand, and who has acknowledged them.

Revision: 0027, after 0026
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None
additive = True

row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
instant = sa.DateTime(timezone=True)
TELLS = sa.text("outcome IN ('IGNORED', 'DEACTIVATED')")


def upgrade() -> None:
    op.create_table(
        "concerns",
        sa.Column("id", row_id, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("since", instant, nullable=False),
        sa.Column("acknowledged_at", instant),
        sa.Column("acknowledged_by", sa.Text()),
        sa.Column("acknowledged_extent", sa.Integer()),
        sa.PrimaryKeyConstraint("id", name="pk_concerns"),
        sa.UniqueConstraint("kind", "source", name="uq_concerns_kind_source"),
    )
    op.create_index(
        "ix_sync_log_telling",
        "sync_log",
        ["outcome", "source", "received_at", "event_type"],
        postgresql_where=TELLS,
        sqlite_where=TELLS,
    )


def downgrade() -> None:
    op.drop_index("ix_sync_log_telling", "sync_log")
    op.drop_table("concerns")
