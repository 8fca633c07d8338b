"""An index by which health counts the entries of a time without reading them.

Revision: 0026, after 0023
"""

from alembic import op

revision = "0026"
down_revision = "0023"
branch_labels = None
depends_on = None
additive = True

NAME, TABLE = "ix_sync_log_received_at", "sync_log"


def upgrade() -> None:
    op.drop_index(NAME, TABLE)
    op.create_index(NAME, TABLE, ["received_at", "status", "processed_at"])


def downgrade() -> None:
    op.drop_index(NAME, TABLE)
    op.create_index(NAME, TABLE, ["received_at"])
