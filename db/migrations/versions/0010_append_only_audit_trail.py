"""An audit trail that nothing rewrites: neither INSERT OR REPLACE on SQLite nor a replica's role.

Revision: 0010, after 0009
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# OR REPLACE deletes the row that is in the way without asking the trigger that refuses deletions.
ON_SQLITE = """
CREATE TRIGGER audit_trail_no_replace BEFORE INSERT ON audit_trail
WHEN EXISTS (SELECT 1 FROM audit_trail WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END
"""
# Otherwise `session_replication_role = replica` would switch it off.
ON_POSTGRESQL = "ALTER TABLE audit_trail ENABLE ALWAYS TRIGGER audit_trail_append_only"
AS_BEFORE = "ALTER TABLE audit_trail ENABLE TRIGGER audit_trail_append_only"


def upgrade() -> None:
    op.execute(ON_SQLITE if op.get_bind().dialect.name == "sqlite" else ON_POSTGRESQL)


def downgrade() -> None:
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    op.execute("DROP TRIGGER audit_trail_no_replace" if on_sqlite else AS_BEFORE)
