"""What a portal had last said of the parts that were corrected.

Revision: 0019, after 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None
additive = True

row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "overruled_statements",
        sa.Column("id", row_id, nullable=False),
        sa.Column("portal_id", sa.Text(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_overruled_statements"),
        sa.UniqueConstraint("portal_id", "part", name="uq_overruled_statements_portal_id_part"),
    )


def downgrade() -> None:
    op.drop_table("overruled_statements")
