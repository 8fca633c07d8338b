"""Tombstones of the persons who were forgotten.

Revision: 0035, after 0027
"""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0027"
branch_labels = None
depends_on = None
additive = True

row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "forgotten_persons",
        sa.Column("id", row_id, nullable=False),
        sa.Column("bucket", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("tombstone", sa.Text(), nullable=False),
        sa.Column("as_of", instant, nullable=False),
        sa.Column("begun_at", instant),
        sa.Column("by_retention", sa.Boolean(), nullable=False),
        sa.Column("last_member_id", row_id),
        sa.Column("forgotten_at", instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_forgotten_persons"),
    )
    op.create_index("ix_forgotten_persons_bucket", "forgotten_persons", ["bucket"])
    op.create_index("ix_forgotten_persons_last_member_id", "forgotten_persons", ["last_member_id"])


def downgrade() -> None:
    op.drop_table("forgotten_persons")
