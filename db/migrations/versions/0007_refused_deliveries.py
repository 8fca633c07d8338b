"""How many deliveries were refused, so that all processes see it.

Revision: 0007, after 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "refused_deliveries",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("hour", instant, nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last_refused_at", instant, nullable=False),
        sa.Column("skew_seconds", row_id),
        sa.PrimaryKeyConstraint("source", "reason", "hour", name="pk_refused_deliveries"),
    )


def downgrade() -> None:
    op.drop_table("refused_deliveries")
