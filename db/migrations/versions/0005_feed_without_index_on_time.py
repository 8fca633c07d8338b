"""No index on the time of changes, which are no longer looked up by it.

Revision: 0005, after 0004
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_changes_committed_at", "changes")


def downgrade() -> None:
    op.create_index("ix_changes_committed_at", "changes", ["committed_at"])
