"""A column of roles that says whether somebody has decided their access level.

Revision: 0003, after 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("roles") as roles:
        roles.add_column(
            sa.Column("decided", sa.Boolean(), nullable=False, server_default=sa.true())
        )
    # Until now a role that came with an event had its code as its name and the level MEMBER. Where
    # the level is another one, somebody has decided it.
    op.execute(
        sa.text("UPDATE roles SET decided = :no WHERE name = code AND access_level = 1").bindparams(
            sa.bindparam("no", False, sa.Boolean())
        )
    )
    with op.batch_alter_table("roles") as roles:
        roles.alter_column("decided", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("roles") as roles:
        roles.drop_column("decided")
