"""The activity of sources: when each was last heard of, and how much lately."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import InstrumentedAttribute

from db.sessions import ReadSession
from db.tables.models import SyncLogEntry
from db.vocabulary import SyncStatus

RECONCILED, RELEASED = "reconcile-", "released-"
"""How ids of events begin that a comparison with the source has found, and not a webhook told."""
WAS_DELIVERED = and_(
    SyncLogEntry.event_id.not_like(f"{RECONCILED}%"), SyncLogEntry.event_id.not_like(f"{RELEASED}%")
)
"""Selects the entries of events that webhooks have brought."""


async def last_received(session: ReadSession, source: str) -> datetime | None:
    """Returns when the newest event of the source came; None if none ever did."""
    return await _newest(session, source, SyncLogEntry.received_at)


async def last_delivered(session: ReadSession, source: str) -> datetime | None:
    """Returns when the newest webhook of the source came; None if none ever did."""
    return await _newest(session, source, SyncLogEntry.received_at, WAS_DELIVERED)


async def last_applied(session: ReadSession, source: str) -> datetime | None:
    """Returns when the newest event of the source that succeeded was applied, however it came."""
    succeeded = SyncLogEntry.status == SyncStatus.SUCCESS
    return await _newest(session, source, SyncLogEntry.processed_at, succeeded)


async def has_delivered_since(session: ReadSession, source: str, since: datetime) -> bool:
    """Says whether a webhook of the source came after this time."""
    return await _has_come(session, source, since, WAS_DELIVERED)


async def has_applied_since(session: ReadSession, source: str, since: datetime) -> bool:
    """Says whether an event of the source that came after this time was applied."""
    return await _has_come(session, source, since, SyncLogEntry.status == SyncStatus.SUCCESS)


async def _has_come(
    session: ReadSession, source: str, since: datetime, condition: ColumnElement[bool]
) -> bool:
    found = select(SyncLogEntry.id).where(
        SyncLogEntry.source == source, SyncLogEntry.received_at > since, condition
    )
    return await session.scalar(found.limit(1)) is not None


async def delivered_since(
    session: ReadSession, sources: Collection[str], since: datetime
) -> dict[str, int]:
    """Returns how many events webhooks have brought, by source."""
    rows = await session.all(
        select(SyncLogEntry.source, func.count(SyncLogEntry.id))
        .where(SyncLogEntry.received_at >= since, SyncLogEntry.source.in_(sources), WAS_DELIVERED)
        .group_by(SyncLogEntry.source)
    )
    return {source: int(count) for source, count in rows}


async def _newest(
    session: ReadSession,
    source: str,
    column: InstrumentedAttribute[Any],
    *conditions: ColumnElement[bool],
) -> datetime | None:
    of_source = SyncLogEntry.source == source
    # Of a source that has sent nothing, the whole log would be read in vain.
    if await session.scalar(select(SyncLogEntry.id).where(of_source).limit(1)) is None:
        return None
    # By id, which is the order of arrival: the log is read from its end, up to the first one.
    return await session.scalar(
        select(column).where(of_source, *conditions).order_by(SyncLogEntry.id.desc()).limit(1)
    )
