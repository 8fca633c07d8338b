"""Chapters can be closed, and keep the parent that was stated apart from the one that counts.

Until now a cycle of parents was stored as it was stated. The newest statement of each cycle counts
for nothing from now on: that chapter has no parent while the cycle stands.

Revision: 0009, after 0008
"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    number = "BIGINT" if op.get_bind().dialect.name == "postgresql" else "INTEGER"
    # Alembic cannot add a column with a foreign key on SQLite, where it must be in one statement.
    op.execute(
        f"ALTER TABLE organizations ADD COLUMN stated_parent_id {number} "
        "CONSTRAINT fk_organizations_stated_parent_id REFERENCES organizations (id)"
    )
    for name in ("closed", "in_cycle"):
        op.add_column(
            "organizations",
            sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()),
        )
    op.execute("UPDATE organizations SET stated_parent_id = parent_id")
    _open_cycles()


def downgrade() -> None:
    op.execute("UPDATE organizations SET parent_id = stated_parent_id")
    for name in ("in_cycle", "closed", "stated_parent_id"):
        # Members refer to the table, so that SQLite must not build it anew, as Alembic would.
        op.execute(f"ALTER TABLE organizations DROP COLUMN {name}")


def _open_cycles() -> None:
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT id, parent_id, as_of FROM organizations")).all()
    parents = {id: parent for id, parent, _ in rows}
    stamps = {id: json.loads(as_of).get("parent", "") for id, _, as_of in rows}
    for cycle in _cycles(parents):
        newest = max(cycle, key=lambda id: stamps[id])
        for id in cycle:
            connection.execute(
                sa.text("UPDATE organizations SET in_cycle = :yes WHERE id = :id").bindparams(
                    sa.bindparam("yes", True, sa.Boolean()), id=id
                )
            )
        connection.execute(
            sa.text("UPDATE organizations SET parent_id = NULL WHERE id = :id"), {"id": newest}
        )


def _cycles(parents: dict[int, int | None]) -> list[list[int]]:
    found = []
    seen: set[int] = set()
    for start in parents:
        path: list[int] = []
        id: int | None = start
        while id is not None and id not in seen:
            seen.add(id)
            path.append(id)
            id = parents[id]
        if id in path:
            found.append(path[path.index(id) :])
    return found
