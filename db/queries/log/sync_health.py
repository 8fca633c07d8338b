"""Health of the sync: counts, lag and rejections over the whole log."""

import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import case, func, select

from db.queries.log.entries import has_status
from db.sessions import ReadSession
from db.tables.models import SyncLogEntry
from db.vocabulary import SyncStatus

# The lag is a percentile of the newest events; a larger sample would not change it.
LAG_SAMPLE = 1000
HOURS = 24
HOUR = timedelta(hours=1)
# The parts of a detail that differ between two rejections of the same kind.
_PARTICULARS = re.compile(r"(?<=event id )\S+|\d+")


@dataclass(frozen=True, slots=True)
class HealthRow:
    """The state of the sync, as far as it is asked for often and found quickly. `waiting` counts
    entries that are recorded and not applied yet; `last_hour` those received within an hour, by
    status."""

    last_received_at: datetime | None
    waiting: int
    oldest_waiting_since: datetime | None
    dead: int
    last_hour: dict[SyncStatus, int]


async def sync_health(session: ReadSession, now: datetime) -> HealthRow:
    waiting = await session.first(
        select(func.count(SyncLogEntry.id), func.min(SyncLogEntry.received_at)).where(
            has_status((SyncStatus.PENDING, SyncStatus.FAILED))
        )
    )
    dead = select(func.count(SyncLogEntry.id)).where(has_status((SyncStatus.DEAD,)))
    return HealthRow(
        last_received_at=await session.scalar(select(func.max(SyncLogEntry.received_at))),
        waiting=waiting[0] if waiting else 0,
        oldest_waiting_since=waiting[1] if waiting else None,
        dead=await session.scalar(dead) or 0,
        last_hour=await counts_since(session, now - HOUR),
    )


@dataclass(frozen=True, slots=True)
class HourRow:
    """The number of events received within an hour from `begins` on, by status."""

    begins: datetime
    counts: dict[SyncStatus, int]


async def counts_by_hour(session: ReadSession, now: datetime) -> list[HourRow]:
    """Returns the counts of the last 24 hours of the clock, oldest first, the current one last."""
    current = now.replace(minute=0, second=0, microsecond=0)
    begins = [current - HOUR * back for back in range(HOURS - 1, -1, -1)]
    later_first = [
        (SyncLogEntry.received_at >= begin, place)
        for place, begin in reversed(list(enumerate(begins)))
    ]
    place = case(*later_first).label("place")
    rows = await session.all(
        select(place, SyncLogEntry.status, func.count(SyncLogEntry.id))
        .where(SyncLogEntry.received_at >= begins[0])
        .group_by(place, SyncLogEntry.status)
    )
    counts: list[dict[SyncStatus, int]] = [{} for _ in begins]
    for index, status, count in rows:
        counts[index][status] = count
    return [HourRow(*pair) for pair in zip(begins, counts, strict=True)]


@dataclass(frozen=True, slots=True)
class RejectionRow:
    """Rejections of one kind. `reason` is their detail without the parts that differ."""

    reason: str
    last_hour: int
    last_day: int


async def rejections(session: ReadSession, now: datetime) -> list[RejectionRow]:
    """Returns the rejections of the last 24 hours by kind, the most frequent first."""
    lately = func.sum(case((SyncLogEntry.received_at >= now - HOUR, 1), else_=0))
    rows = await session.all(
        select(SyncLogEntry.detail, lately, func.count(SyncLogEntry.id))
        .where(
            has_status((SyncStatus.REJECTED,)),
            SyncLogEntry.received_at >= now - HOUR * HOURS,
        )
        .group_by(SyncLogEntry.detail)
    )
    hour: Counter[str] = Counter()
    day: Counter[str] = Counter()
    for detail, last_hour, last_day in rows:
        reason = _PARTICULARS.sub("…", detail or "")
        hour[reason] += last_hour
        day[reason] += last_day
    return [RejectionRow(reason, hour[reason], count) for reason, count in day.most_common()]


async def counts_since(session: ReadSession, since: datetime) -> dict[SyncStatus, int]:
    """Returns the number of entries received since then, by status."""
    rows = await session.all(
        select(SyncLogEntry.status, func.count(SyncLogEntry.id))
        .where(SyncLogEntry.received_at >= since)
        .group_by(SyncLogEntry.status)
    )
    return {status: count for status, count in rows}  # noqa: C416  (a Row is not a pair for dict())


async def lag_p95_ms(session: ReadSession, since: datetime) -> int | None:
    """Returns the 95th percentile of the milliseconds from delivery to processing since then."""
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
