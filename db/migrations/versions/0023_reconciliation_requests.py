"""Comparisons that people ask for; what runs say of dry runs and of what they do not list.

Revision: 0023, after 0019
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0019"
branch_labels = None
depends_on = None
additive = True

row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "reconciliation_requests",
        sa.Column("id", row_id, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("whole", sa.Boolean(), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("requested_at", instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reconciliation_requests"),
        sa.UniqueConstraint("source", name="uq_reconciliation_requests_source"),
    )
    op.add_column(
        "reconciliations",
        sa.Column("dry_run", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.add_column(
        "reconciliations",
        sa.Column("unlisted", sa.Integer(), nullable=False, server_default="0"),
    )
    op.create_index("ix_reconciliations_started_at", "reconciliations", ["started_at"])


def downgrade() -> None:
    op.drop_index("ix_reconciliations_started_at", "reconciliations")
    op.drop_column("reconciliations", "unlisted")
    op.drop_column("reconciliations", "dry_run")
    op.drop_table("reconciliation_requests")
