"""How the sync is doing, in numbers and in a sentence."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import Enum

import strawberry

from db.queries.sync_health import HOURS, HealthRow, counts_by_hour, rejections
from db.vocabulary import SyncStatus
from schema.context import Info
from schema.types.costs import COUNTING, cost, list_size

PATIENCE = timedelta(minutes=1)
REJECTION_SHARE = 0.1


@strawberry.enum(description="What somebody needs to look after.")
class SyncConcern(Enum):
    REJECTIONS = strawberry.enum_value(
        "REJECTIONS", description="More than 10 % of the last hour's events could not be read."
    )
    WAITING = strawberry.enum_value(
        "WAITING", description="An event has been waiting for more than a minute."
    )
    DEAD = strawberry.enum_value("DEAD", description="Events are no longer tried by themselves.")
    SILENCE = strawberry.enum_value(
        "SILENCE", description="Nothing came for longer than the service is told to expect."
    )


@strawberry.type(description="Events by what became of them.")
class DeliveryCounts:
    received: int = strawberry.field(description="All of them.")
    succeeded: int = strawberry.field(description="Applied, or true already.")
    skipped: int = strawberry.field(description="Stale, or of an unknown type.")
    waiting: int = strawberry.field(description="Recorded, and to be tried again.")
    dead: int = strawberry.field(description="No longer tried.")
    rejected: int = strawberry.field(description="Not readable as events.")

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


@strawberry.type(description="Events received within one hour.")
class HourlyDeliveries:
    begins: datetime = strawberry.field(description="When the hour begins.")
    counts: DeliveryCounts = strawberry.field(description="What became of them.")


@strawberry.type(description="Events that could not be read for the same reason.")
class Rejections:
    reason: str = strawberry.field(
        description="What was wrong with them; `…` stands for what differs between them."
    )
    last_hour: int = strawberry.field(description="How many in the last hour.")
    last_day: int = strawberry.field(description="How many in the last day.")


@strawberry.type(description="How the sync is doing, over the whole log.")
class SyncHealth:
    now: strawberry.Private[datetime]
    healthy: bool = strawberry.field(description="Whether nobody needs to look after it.")
    summary: str = strawberry.field(description="The same in a sentence.")
    concerns: list[SyncConcern] = strawberry.field(
        description="What is wrong, the most urgent first; empty while healthy.",
        directives=[list_size(len(SyncConcern))],
    )
    last_received_at: datetime | None = strawberry.field(description="When the last event came.")
    waiting: int = strawberry.field(description="Events recorded and not applied yet.")
    oldest_waiting_since: datetime | None = strawberry.field(
        description="When the one that waits longest came."
    )
    dead: int = strawberry.field(description="Events that are no longer tried by themselves.")
    lag_p95_ms: int | None = strawberry.field(
        description="Milliseconds from first delivery to processing within which 95 % of the last "
        "hour's events were processed."
    )
    last_hour: DeliveryCounts = strawberry.field(description="Events received in the last hour.")
    last_day: DeliveryCounts = strawberry.field(description="Events received in the last day.")

    @classmethod
    def from_row(cls, row: HealthRow, now: datetime, longest_silence: timedelta) -> "SyncHealth":
        worries = dict(_worries(row, now, longest_silence))
        return cls(
            now=now,
            healthy=not worries,
            summary=" ".join(worries.values()) or "All is well.",
            concerns=list(worries),
            last_received_at=row.last_received_at,
            waiting=row.waiting,
            oldest_waiting_since=row.oldest_waiting_since,
            dead=row.dead,
            lag_p95_ms=row.lag_p95_ms,
            last_hour=DeliveryCounts.from_counts(row.last_hour),
            last_day=DeliveryCounts.from_counts(row.last_day),
        )

    @strawberry.field(
        description="The last 24 hours one by one, the oldest first.",
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
        description="Why events of the last day could not be read, the most frequent reason first.",
        directives=[cost(COUNTING), list_size(10)],
    )
    async def rejections(self, info: Info) -> list[Rejections]:
        async with info.context.database.read() as session:
            rows = await rejections(session, self.now)
        return [
            Rejections(reason=row.reason, last_hour=row.last_hour, last_day=row.last_day)
            for row in rows
        ]


def _worries(
    row: HealthRow, now: datetime, longest_silence: timedelta
) -> Iterator[tuple[SyncConcern, str]]:
    received = sum(row.last_hour.values())
    rejected = row.last_hour.get(SyncStatus.REJECTED, 0)
    if rejected > REJECTION_SHARE * received:
        text = f"{rejected} of {received} events of the last hour could not be read."
        yield SyncConcern.REJECTIONS, text
    if row.oldest_waiting_since is not None and now - row.oldest_waiting_since > PATIENCE:
        yield SyncConcern.WAITING, "An event has been waiting for more than a minute."
    if row.dead:
        text = f"{row.dead} event(s) could not be applied and are no longer tried."
        yield SyncConcern.DEAD, text
    if row.last_received_at is not None and now - row.last_received_at > longest_silence:
        text = f"Nothing has come since {row.last_received_at:%Y-%m-%d %H:%M} UTC."
        yield SyncConcern.SILENCE, text
