"""Roles that a member holds and the catalogue has no entry for, as text.

Revision: 0012, after 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("members", sa.Column("unlisted_roles", sa.Text()))


def downgrade() -> None:
    op.drop_column("members", "unlisted_roles")
