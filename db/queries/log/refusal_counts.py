"""Counts of refused deliveries of each source, by reason and hour."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import delete, func, insert, select, update

from db.sessions import ReadSession, WriteSession
from db.tables.models import RefusedDeliveries


@dataclass(frozen=True, slots=True)
class RefusalCount:
    """`skew_seconds` is the last one that a signature proved, None if none did."""

    source: str
    reason: str
    count: int
    last_refused_at: datetime
    skew_seconds: int | None


async def add_refusals(session: WriteSession, counts: Sequence[RefusalCount]) -> None:
    """Adds to the counts of the hours. Raises ConcurrentWriteError if another process has begun the
    same hour meanwhile."""
    for count in counts:
        hour = count.last_refused_at.replace(minute=0, second=0, microsecond=0)
        row = RefusedDeliveries
        found = await session.run(
            update(row)
            .where(row.source == count.source, row.reason == count.reason, row.hour == hour)
            .values(
                count=row.count + count.count,
                last_refused_at=count.last_refused_at,
                skew_seconds=func.coalesce(count.skew_seconds, row.skew_seconds),
            )
        )
        if not found.rowcount:
            await session.run(
                insert(row).values(
                    source=count.source,
                    reason=count.reason,
                    hour=hour,
                    count=count.count,
                    last_refused_at=count.last_refused_at,
                    skew_seconds=count.skew_seconds,
                )
            )


async def refusals_since(session: ReadSession, since: datetime) -> list[RefusalCount]:
    """Returns the counts of the hours that ended after this time, by source and reason."""
    row = RefusedDeliveries
    hour = since.replace(minute=0, second=0, microsecond=0)
    found_rows = await session.all(
        select(row.source, row.reason, row.count, row.last_refused_at, row.skew_seconds)
        .where(row.hour >= hour)
        .order_by(row.source, row.reason, row.hour)
    )
    found: dict[tuple[str, str], RefusalCount] = {}
    for each in (RefusalCount(*row) for row in found_rows):
        before = found.get((each.source, each.reason))
        found[each.source, each.reason] = each if before is None else _together(before, each)
    return list(found.values())


def _together(before: RefusalCount, later: RefusalCount) -> RefusalCount:
    skew = before.skew_seconds if later.skew_seconds is None else later.skew_seconds
    return replace(later, count=before.count + later.count, skew_seconds=skew)


async def delete_refusals_before(session: WriteSession, time: datetime) -> None:
    await session.run(delete(RefusedDeliveries).where(RefusedDeliveries.hour < time))
