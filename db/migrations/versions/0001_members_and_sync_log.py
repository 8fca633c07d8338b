"""Organizations, members, roles, the sync log and the change feed.

Revision: 0001
"""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
sort_text = sa.Text().with_variant(sa.String(collation="C"), "postgresql")
instant = sa.DateTime(timezone=True)
OPEN = sa.text("status IN ('PENDING', 'FAILED', 'DEAD', 'REJECTED')")

CATALOGUE = (
    ("member", "Member", 1),
    ("peer-mentor", "Peer mentor", 2),
    ("coordinator", "Coordinator", 3),
    ("organization-administrator", "Organization administrator", 4),
)


def upgrade() -> None:
    _create_organizations()
    _create_members()
    _create_roles()
    _create_sync_log()
    _create_feed()


def _create_organizations() -> None:
    op.create_table(
        "organizations",
        sa.Column("id", row_id, nullable=False),
        sa.Column("portal_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text()),
        sa.Column("parent_id", row_id),
        sa.Column("as_of", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_organizations"),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["organizations.id"], name="fk_organizations_parent_id"
        ),
        sa.UniqueConstraint("portal_id", name="uq_organizations_portal_id"),
    )
    op.create_index("ix_organizations_parent_id", "organizations", ["parent_id"])


def _create_members() -> None:
    op.create_table(
        "members",
        sa.Column("id", row_id, nullable=False),
        sa.Column("portal_id", sa.Text(), nullable=False),
        sa.Column("member_number", sa.Text()),
        sa.Column("given_name", sa.Text()),
        sa.Column("family_name", sa.Text()),
        sa.Column("email", sa.Text()),
        sa.Column("phone", sa.Text()),
        sa.Column("sort_name", sort_text, nullable=False),
        sa.Column("number_key", sort_text, nullable=False),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("state_changed_at", instant),
        sa.Column("organization_id", row_id),
        sa.Column("updated_at", instant, nullable=False),
        sa.Column("as_of", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_members"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_members_organization_id"
        ),
        sa.UniqueConstraint("portal_id", name="uq_members_portal_id"),
    )
    op.create_index("ix_members_sort_name_id", "members", ["sort_name", "id"])
    op.create_index(
        "ix_members_organization_id_sort_name_id",
        "members",
        ["organization_id", "sort_name", "id"],
    )
    op.create_index("ix_members_number_key_id", "members", ["number_key", "id"])
    op.create_index("ix_members_updated_at_id", "members", ["updated_at", "id"])


def _create_roles() -> None:
    roles = op.create_table(
        "roles",
        sa.Column("id", row_id, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("access_level", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_roles"),
        sa.UniqueConstraint("code", name="uq_roles_code"),
    )
    op.bulk_insert(
        roles,
        [{"code": code, "name": name, "access_level": level} for code, name, level in CATALOGUE],
    )
    op.create_table(
        "role_assignments",
        sa.Column("id", row_id, nullable=False),
        sa.Column("member_id", row_id, nullable=False),
        sa.Column("role_id", row_id, nullable=False),
        sa.Column("organization_id", row_id),
        sa.Column("since", instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_role_assignments"),
        sa.ForeignKeyConstraint(
            ["member_id"], ["members.id"], name="fk_role_assignments_member_id"
        ),
        sa.ForeignKeyConstraint(["role_id"], ["roles.id"], name="fk_role_assignments_role_id"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_role_assignments_organization_id"
        ),
        sa.UniqueConstraint(
            "member_id",
            "role_id",
            "organization_id",
            name="uq_role_assignments_member_id_role_id_organization_id",
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index("ix_role_assignments_role_id", "role_assignments", ["role_id"])
    op.create_index("ix_role_assignments_organization_id", "role_assignments", ["organization_id"])


def _create_sync_log() -> None:
    op.create_table(
        "sync_log",
        sa.Column("id", row_id, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text()),
        sa.Column("occurred_at", instant),
        sa.Column("received_at", instant, nullable=False),
        sa.Column("processed_at", instant),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(16)),
        sa.Column("detail", sa.Text()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("deliveries", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", instant),
        sa.Column("member_id", row_id),
        sa.Column("organization_id", row_id),
        sa.Column("field_changes", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sync_log"),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name="fk_sync_log_member_id"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_sync_log_organization_id"
        ),
        sa.UniqueConstraint("source", "event_id", name="uq_sync_log_source_event_id"),
    )
    op.create_index("ix_sync_log_received_at", "sync_log", ["received_at"])
    op.create_index("ix_sync_log_member_id_id", "sync_log", ["member_id", "id"])
    op.create_index("ix_sync_log_organization_id_id", "sync_log", ["organization_id", "id"])
    op.create_index(
        "ix_sync_log_open",
        "sync_log",
        ["status", "id"],
        postgresql_where=OPEN,
        sqlite_where=OPEN,
    )


def _create_feed() -> None:
    feed_head = op.create_table(
        "feed_head",
        sa.Column("id", row_id, nullable=False),
        sa.Column("feed_id", sa.Text(), nullable=False),
        sa.Column("position", row_id, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_feed_head"),
    )
    # The id distinguishes the cursors of this feed from those of another database.
    op.bulk_insert(feed_head, [{"id": 1, "feed_id": uuid.uuid4().hex, "position": 0}])
    op.create_table(
        "changes",
        sa.Column("position", row_id, autoincrement=False, nullable=False),
        sa.Column("committed_at", instant, nullable=False),
        sa.Column("member_id", row_id),
        sa.Column("entry_id", row_id),
        sa.Column("access_changed", sa.Boolean(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_changes"),
    )
    op.create_index("ix_changes_committed_at", "changes", ["committed_at"])


def downgrade() -> None:
    for table in (
        "changes",
        "feed_head",
        "sync_log",
        "role_assignments",
        "roles",
        "members",
        "organizations",
    ):
        op.drop_table(table)
