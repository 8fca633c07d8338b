"""How far the portals of sources have been read.

Revision: 0008, after 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "portal_states",
        sa.Column("id", row_id, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("leased_until", instant, nullable=False),
        sa.Column("full_at", instant),
        sa.Column("delta_links", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_portal_states"),
        sa.UniqueConstraint("source", name="uq_portal_states_source"),
    )


def downgrade() -> None:
    op.drop_table("portal_states")
