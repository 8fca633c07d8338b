"""Log entries that a replay has moved are put right, where that can be known.

Until now a replay gave an entry the home that its member had by then, so that what was written
about somebody in one chapter could be read in another; and it replaced the time and the detail of
the entry, as if the event had waited until then.

Revision: 0011, after 0010
"""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_REPLAYED = "SELECT entry_id FROM sync_attempts WHERE \"trigger\" = 'REPLAY'"
_LOG = sa.table(
    "sync_log",
    sa.column("id", sa.BigInteger()),
    sa.column("member_id", sa.BigInteger()),
    sa.column("organization_id", sa.BigInteger()),
    sa.column("event_type", sa.Text()),
    sa.column("event_id", sa.Text()),
    sa.column("source", sa.Text()),
    sa.column("occurred_at", sa.DateTime(timezone=True)),
    sa.column("processed_at", sa.DateTime(timezone=True)),
    sa.column("payload", sa.LargeBinary()),
)

Rank = tuple[datetime, bool, str, str]


def upgrade() -> None:
    _give_back_times()
    _give_back_chapters()


def downgrade() -> None:
    """Does nothing: what was put right stays right."""


def _give_back_times() -> None:
    """The first attempt that applied the event tells when that was, and what it remarked on."""
    first = (
        "SELECT min(id) FROM sync_attempts WHERE entry_id = sync_log.id "
        "AND status IN ('SUCCESS', 'SKIPPED') AND outcome <> 'IGNORED'"
    )
    for column, kept in (("processed_at", "attempted_at"), ("detail", "detail")):
        op.execute(
            f"UPDATE sync_log SET {column} = (SELECT {kept} FROM sync_attempts "  # noqa: S608
            f"WHERE id = ({first})) WHERE id IN ({_REPLAYED}) AND ({first}) IS NOT NULL"
        )


def _give_back_chapters() -> None:
    connection = op.get_bind()
    organizations = {
        portal_id: id
        for id, portal_id in connection.execute(sa.text("SELECT id, portal_id FROM organizations"))
    }
    replayed = {id for (id,) in connection.execute(sa.text(_REPLAYED))}
    members = connection.execute(
        sa.text(
            f"SELECT DISTINCT member_id FROM sync_log WHERE id IN ({_REPLAYED}) "  # noqa: S608
            "AND member_id IS NOT NULL"
        )
    ).all()
    for (member_id,) in members:
        rows = connection.execute(sa.select(_LOG).where(_LOG.c.member_id == member_id)).all()
        applied = [row for row in rows if row.processed_at and row.occurred_at]
        homes = sorted(
            (_rank(row), home) for row in applied for home in _stated_home(row, organizations)
        )
        for row in applied:
            earlier = [home for rank, home in homes if rank <= _rank(row)]
            if row.id in replayed and earlier and earlier[-1] != row.organization_id:
                connection.execute(
                    sa.update(_LOG).where(_LOG.c.id == row.id).values(organization_id=earlier[-1])
                )


def _rank(row: Any) -> Rank:
    deactivation = row.event_type == "membership-deactivated"
    return row.occurred_at, deactivation, row.event_id, row.source


def _stated_home(row: Any, organizations: dict[str, int]) -> Iterator[int]:
    """Yields the home that the event states, if it names a chapter that is known."""
    try:
        id = json.loads(row.payload)["data"]["organization"]["id"]
    except (ValueError, LookupError, TypeError):
        return
    if isinstance(id, str) and id.strip("{}() ").lower() in organizations:
        yield organizations[id.strip("{}() ").lower()]
