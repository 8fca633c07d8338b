"""Members and chapters in the order of Norwegian dictionaries, by keys that are computed anew.

Revision: 0016, after 0015
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

# Not a copy: keys of two programs would not sort together.
from db.queries.collation import collation_key

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

sort_text = sa.Text().with_variant(sa.String(collation="C"), "postgresql")
_BATCH = 1000


def upgrade() -> None:
    op.add_column(
        "organizations", sa.Column("sort_name", sort_text, nullable=False, server_default="")
    )
    _give_keys("organizations", "name")
    _give_keys("members", "family_name", "given_name")


def downgrade() -> None:
    """Members keep their keys, which order them until each is stated again."""
    op.drop_column("organizations", "sort_name")


def _give_keys(table: str, *names: str) -> None:
    connection = op.get_bind()
    columns = ", ".join(names)
    rows = connection.execute(sa.text(f"SELECT id, {columns} FROM {table}")).all()  # noqa: S608
    update = sa.text(f"UPDATE {table} SET sort_name = :key WHERE id = :id")  # noqa: S608
    for start in range(0, len(rows), _BATCH):
        keys: list[dict[str, Any]] = [
            {"id": id, "key": collation_key(*values)}
            for id, *values in rows[start : start + _BATCH]
        ]
        connection.execute(update, keys)
