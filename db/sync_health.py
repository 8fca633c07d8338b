"""How the sync is doing, in numbers over the whole log."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select

from db.models import SyncLogEntry
from db.unit_of_work import ReadSession
from db.vocabulary import SyncStatus

# The lag is a percentile of the newest events; more of them would not change what it tells.
LAG_SAMPLE = 1000


@dataclass(frozen=True, slots=True)
class HealthRow:
    """`waiting`: recorded, not applied yet. Counts by status are of entries received since."""

    last_received_at: datetime | None
    waiting: int
    oldest_waiting_since: datetime | None
    dead: int
    lag_p95_ms: int | None
    last_hour: dict[SyncStatus, int]
    last_day: dict[SyncStatus, int]


async def sync_health(session: ReadSession, now: datetime) -> HealthRow:
    waiting = await session.first(
        select(func.count(SyncLogEntry.id), func.min(SyncLogEntry.received_at)).where(
            SyncLogEntry.status.in_((SyncStatus.PENDING, SyncStatus.FAILED))
        )
    )
    dead = select(func.count(SyncLogEntry.id)).where(SyncLogEntry.status == SyncStatus.DEAD)
    return HealthRow(
        last_received_at=await session.scalar(select(func.max(SyncLogEntry.received_at))),
        waiting=waiting[0] if waiting else 0,
        oldest_waiting_since=waiting[1] if waiting else None,
        dead=await session.scalar(dead) or 0,
        lag_p95_ms=await _lag_p95_ms(session, now - timedelta(hours=1)),
        last_hour=await _by_status(session, now - timedelta(hours=1)),
        last_day=await _by_status(session, now - timedelta(days=1)),
    )


async def _by_status(session: ReadSession, since: datetime) -> dict[SyncStatus, int]:
    rows = await session.all(
        select(SyncLogEntry.status, func.count(SyncLogEntry.id))
        .where(SyncLogEntry.received_at >= since)
        .group_by(SyncLogEntry.status)
    )
    return {status: count for status, count in rows}  # noqa: C416  (a Row is not a pair for dict())


async def _lag_p95_ms(session: ReadSession, since: datetime) -> int | None:
    rows = await session.all(
        select(SyncLogEntry.received_at, SyncLogEntry.processed_at)
        .where(SyncLogEntry.received_at >= since, SyncLogEntry.processed_at.is_not(None))
        .order_by(SyncLogEntry.received_at.desc())
        .limit(LAG_SAMPLE)
    )
    lags = sorted(processed - received for received, processed in rows if processed)
    if not lags:
        return None
    return round(lags[int(0.95 * (len(lags) - 1))] / timedelta(milliseconds=1))
