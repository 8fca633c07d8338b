"""Which ids of the portal are of one person.

Revision: 0015, after 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# A process that has read, before a merge, that an id is unknown could create a second person.
_REFUSE = """
CREATE FUNCTION refuse_merged_members() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM member_merges JOIN members ON members.id = member_merges.person_id
        WHERE NEW.portal_id IN (merged_id, into_id) AND members.portal_id <> NEW.portal_id
    ) THEN
        RAISE unique_violation USING MESSAGE = 'The id belongs to another member since a merge.';
    END IF;
    RETURN NEW;
END $$
"""
_TRIGGER = """
CREATE TRIGGER refuse_merged_members BEFORE INSERT ON members
FOR EACH ROW EXECUTE FUNCTION refuse_merged_members()
"""


def upgrade() -> None:
    op.create_table(
        "member_merges",
        sa.Column("id", row_id, nullable=False),
        sa.Column("merged_id", sa.Text(), nullable=False),
        sa.Column("into_id", sa.Text(), nullable=False),
        sa.Column("stamp", sa.Text(), nullable=False),
        sa.Column("person_id", row_id, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_member_merges"),
        sa.UniqueConstraint("merged_id", "into_id", name="uq_member_merges_merged_id_into_id"),
        sa.ForeignKeyConstraint(["person_id"], ["members.id"], name="fk_member_merges_person_id"),
    )
    op.create_index("ix_member_merges_into_id", "member_merges", ["into_id"])
    op.create_index("ix_member_merges_person_id", "member_merges", ["person_id"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_REFUSE)
        op.execute(_TRIGGER)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER refuse_merged_members ON members")
        op.execute("DROP FUNCTION refuse_merged_members")
    op.drop_table("member_merges")
