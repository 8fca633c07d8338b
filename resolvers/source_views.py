"""Reads what is known of the configured sources: what came from them, and when it was compared."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from db.database import Database
from db.queries.log.refusal_counts import refusals_since
from db.queries.log.source_activity import delivered_since, last_applied, last_delivered
from db.queries.runs.reconciliation_requests import requests_of
from db.queries.runs.reconciliations import Run, last_runs, missed_since

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ConfiguredSource:
    """A source of the settings. `comparable`: its portal can be read."""

    name: str
    scheme: str
    comparable: bool


@dataclass(frozen=True, slots=True)
class SourceView:
    source: ConfiguredSource
    last_received_at: datetime | None
    last_applied_at: datetime | None
    received_last_day: int
    refused_last_day: int
    missed_last_day: int
    reconciliation: Run | None
    requested_at: datetime | None


async def source_views(
    database: Database, sources: Sequence[ConfiguredSource], now: datetime
) -> list[SourceView]:
    names = [source.name for source in sources]
    since = now - DAY
    refused: Counter[str] = Counter()
    async with database.read() as session:
        received = await delivered_since(session, names, since)
        missed = await missed_since(session, since)
        runs = await last_runs(session, names)
        requests = await requests_of(session, names)
        for refusal in await refusals_since(session, since):
            refused[refusal.source] += refusal.count
        return [
            SourceView(
                source,
                await last_delivered(session, source.name),
                await last_applied(session, source.name),
                received.get(source.name, 0),
                refused[source.name],
                missed.get(source.name, 0),
                runs.get(source.name),
                requests[source.name].requested_at if source.name in requests else None,
            )
            for source in sources
        ]
