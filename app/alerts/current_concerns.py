"""The concerns as they stand, for those who tell people of them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from app.alerts.alert_messages import StandingConcern
from app.alerts.watch import ReadConcerns
from db.database import Database
from db.queries.log.sync_health import sync_health
from schema.types.health import SyncHealth


def concerns_of(database: Database, longest_silence: timedelta) -> ReadConcerns:
    async def read(now: datetime) -> Sequence[StandingConcern]:
        async with database.read() as session:
            row = await sync_health(session, now)
        health = SyncHealth.from_row(row, now, longest_silence)
        return [StandingConcern(concern.name) for concern in health.concerns]

    return read
