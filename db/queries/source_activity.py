"""When something was last heard of a source."""

from datetime import datetime

from sqlalchemy import select

from db.sessions import ReadSession
from db.tables.models import SyncLogEntry


async def last_received(session: ReadSession, source: str) -> datetime | None:
    """Returns when the newest event of the source came; None if none ever did."""
    # By id, which is the order of arrival: the log is read from its end, up to the first one.
    return await session.scalar(
        select(SyncLogEntry.received_at)
        .where(SyncLogEntry.source == source)
        .order_by(SyncLogEntry.id.desc())
        .limit(1)
    )
