"""How the sync is doing, in numbers and in a sentence."""

from datetime import datetime, timedelta

import strawberry

from db.sync_health import HealthRow
from db.vocabulary import SyncStatus

PATIENCE = timedelta(minutes=1)
REJECTION_SHARE = 0.1


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


@strawberry.type(description="How the sync is doing, over the whole log.")
class SyncHealth:
    healthy: bool = strawberry.field(description="Whether nobody needs to look after it.")
    summary: str = strawberry.field(description="The same in a sentence.")
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
    def from_row(cls, row: HealthRow, now: datetime) -> "SyncHealth":
        worries = _worries(row, now)
        return cls(
            healthy=not worries,
            summary=" ".join(worries) or "All is well.",
            last_received_at=row.last_received_at,
            waiting=row.waiting,
            oldest_waiting_since=row.oldest_waiting_since,
            dead=row.dead,
            lag_p95_ms=row.lag_p95_ms,
            last_hour=DeliveryCounts.from_counts(row.last_hour),
            last_day=DeliveryCounts.from_counts(row.last_day),
        )


def _worries(row: HealthRow, now: datetime) -> list[str]:
    worries = []
    if row.oldest_waiting_since is not None and now - row.oldest_waiting_since > PATIENCE:
        worries.append("An event has been waiting for more than a minute.")
    if row.dead:
        worries.append(f"{row.dead} event(s) could not be applied and are no longer tried.")
    received = sum(row.last_hour.values())
    rejected = row.last_hour.get(SyncStatus.REJECTED, 0)
    if rejected > REJECTION_SHARE * received:
        worries.append(f"{rejected} of {received} events of the last hour could not be read.")
    return worries
