"""Which concerns people were told of.

Revision: 0013, after 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None
additive = True

row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "alert_states",
        sa.Column("id", row_id, nullable=False),
        sa.Column("leased_until", instant, nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        sa.Column("written_at", instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alert_states"),
    )


def downgrade() -> None:
    op.drop_table("alert_states")
