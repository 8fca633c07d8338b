"""The health of the sync: what needs attention, and counts of events."""

from collections.abc import Sequence
from datetime import datetime

import strawberry

from db.queries.log.sync_health import (
    HOUR,
    HOURS,
    HealthRow,
    counts_by_hour,
    counts_since,
    lag_p95_ms,
    rejections,
)
from db.vocabulary import SyncStatus
from schema.context import Info
from schema.types.administration.concerns import ConcernType
from schema.types.costs import COUNTING, cost, list_size
from sync.concerns.standing import StandingConcern

MOST_CONCERNS = 20
"""About as many concerns as may stand at once."""


@strawberry.type(description="The number of events, by status.")
class DeliveryCounts:
    received: int = strawberry.field(description="All events.")
    succeeded: int = strawberry.field(description="Applied, or had nothing to change.")
    skipped: int = strawberry.field(description="Stale, or of an unknown type.")
    waiting: int = strawberry.field(description="Waiting to be tried, or tried again.")
    dead: int = strawberry.field(description="No longer retried.")
    rejected: int = strawberry.field(description="Rejected, because they cannot be read.")

    @classmethod
    def from_counts(cls, counts: dict[SyncStatus, int]) -> "DeliveryCounts":
        return cls(
            received=sum(counts.values()),
            succeeded=counts.get(SyncStatus.SUCCESS, 0),
            skipped=counts.get(SyncStatus.SKIPPED, 0),
            waiting=counts.get(SyncStatus.PENDING, 0) + counts.get(SyncStatus.FAILED, 0),
            dead=counts.get(SyncStatus.DEAD, 0),
            rejected=counts.get(SyncStatus.REJECTED, 0),
        )


@strawberry.type(description="The events received in one hour.")
class HourlyDeliveries:
    begins: datetime = strawberry.field(description="The beginning of the hour.")
    counts: DeliveryCounts = strawberry.field(description="The number of events.")


@strawberry.type(description="Events that were rejected for one reason.")
class Rejections:
    reason: str = strawberry.field(description="The reason; `…` stands for the parts that differ.")
    last_hour: int = strawberry.field(description="The number of events in the last hour.")
    last_day: int = strawberry.field(description="The number of events in the last day.")


@strawberry.type(description="The health of the sync, over the whole log.")
class SyncHealth:
    now: strawberry.Private[datetime]
    healthy: bool = strawberry.field(description="True when nothing needs attention.")
    summary: str = strawberry.field(description="The health in one or more sentences.")
    concerns: list[ConcernType] = strawberry.field(
        description="What needs attention, the most urgent first.",
        directives=[list_size(MOST_CONCERNS)],
    )
    last_received_at: datetime | None = strawberry.field(description="The time of the last event.")
    waiting: int = strawberry.field(
        description="The number of events that are recorded but not applied yet."
    )
    oldest_waiting_since: datetime | None = strawberry.field(
        description="The time at which the oldest waiting event came."
    )
    dead: int = strawberry.field(description="The number of events that are no longer retried.")
    last_hour: DeliveryCounts = strawberry.field(
        description="The events received in the last hour."
    )

    @classmethod
    def from_row(
        cls, row: HealthRow, now: datetime, concerns: Sequence[StandingConcern]
    ) -> "SyncHealth":
        return cls(
            now=now,
            healthy=not concerns,
            summary=" ".join(concern.detail for concern in concerns) or "All is well.",
            concerns=[ConcernType(concern) for concern in concerns],
            last_received_at=row.last_received_at,
            waiting=row.waiting,
            oldest_waiting_since=row.oldest_waiting_since,
            dead=row.dead,
            last_hour=DeliveryCounts.from_counts(row.last_hour),
        )

    @strawberry.field(
        description="The 95th percentile of the milliseconds from delivery to processing, over the "
        "last hour.",
        directives=[cost(COUNTING)],
    )
    async def lag_p95_ms(self, info: Info) -> int | None:
        async with info.context.database.read() as session:
            return await lag_p95_ms(session, self.now - HOUR)

    @strawberry.field(
        description="The events received in the last day.", directives=[cost(COUNTING)]
    )
    async def last_day(self, info: Info) -> DeliveryCounts:
        async with info.context.database.read() as session:
            counts = await counts_since(session, self.now - HOURS * HOUR)
        return DeliveryCounts.from_counts(counts)

    @strawberry.field(
        description="The last 24 hours, the oldest first.",
        directives=[cost(COUNTING), list_size(HOURS)],
    )
    async def hours(self, info: Info) -> list[HourlyDeliveries]:
        async with info.context.database.read() as session:
            rows = await counts_by_hour(session, self.now)
        return [
            HourlyDeliveries(begins=row.begins, counts=DeliveryCounts.from_counts(row.counts))
            for row in rows
        ]

    @strawberry.field(
        description="The reasons why events of the last day were rejected, by frequency.",
        directives=[cost(COUNTING), list_size(10)],
    )
    async def rejections(self, info: Info) -> list[Rejections]:
        async with info.context.database.read() as session:
            rows = await rejections(session, self.now)
        return [
            Rejections(reason=row.reason, last_hour=row.last_hour, last_day=row.last_day)
            for row in rows
        ]
