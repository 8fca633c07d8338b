"""Runs that compare a source with what is known, their drift, and what they hold back.

Revision: 0017, after 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None
additive = True

row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
instant = sa.DateTime(timezone=True)
COUNTS = ("compared", "created", "updated", "deactivated", "missing", "missed", "held")


def upgrade() -> None:
    op.create_table(
        "reconciliations",
        sa.Column("id", row_id, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("started_at", instant, nullable=False),
        sa.Column("finished_at", instant, nullable=True),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in COUNTS),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_reconciliations"),
    )
    op.create_index(
        "ix_reconciliations_source_started_at", "reconciliations", ["source", "started_at"]
    )
    op.create_table(
        "drift_lines",
        sa.Column("id", row_id, nullable=False),
        sa.Column("reconciliation_id", row_id, nullable=False),
        sa.Column("portal_id", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("there", sa.Text(), nullable=True),
        sa.Column("here", sa.Text(), nullable=True),
        sa.Column("action", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_drift_lines"),
        sa.ForeignKeyConstraint(
            ["reconciliation_id"], ["reconciliations.id"], name="fk_drift_lines_reconciliation_id"
        ),
    )
    op.create_index("ix_drift_lines_reconciliation_id", "drift_lines", ["reconciliation_id"])
    op.create_index("ix_drift_lines_portal_id", "drift_lines", ["portal_id"])
    op.create_table(
        "held_items",
        sa.Column("id", row_id, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("portal_id", sa.Text(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("there", sa.Text(), nullable=True),
        sa.Column("stated_at", instant, nullable=False),
        sa.Column("held_since", instant, nullable=False),
        sa.Column("discarded", sa.Boolean(), nullable=False),
        sa.Column("reconciliation_id", row_id, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_held_items"),
        sa.UniqueConstraint(
            "source", "portal_id", "part", name="uq_held_items_source_portal_id_part"
        ),
        sa.ForeignKeyConstraint(
            ["reconciliation_id"], ["reconciliations.id"], name="fk_held_items_reconciliation_id"
        ),
    )
    op.create_index("ix_held_items_reconciliation_id", "held_items", ["reconciliation_id"])


def downgrade() -> None:
    op.drop_table("held_items")
    op.drop_table("drift_lines")
    op.drop_table("reconciliations")
