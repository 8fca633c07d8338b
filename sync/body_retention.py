"""Removes the values of old events: their bodies, and what was before and after in the log.

What later statements are ranked by stays. An event that states nothing keeps no body at all.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from db.background_task import BackgroundTask
from db.database import Database
from db.driver.locks import body_retention_lock
from db.errors import ConcurrentWriteError, DatabaseUnavailableError
from db.queries.log.expired_bodies import (
    BodyLimits,
    ExpiredBody,
    count_expired_bodies,
    expired_bodies,
    save_without_values,
)
from db.tables.facts import FieldChange
from sync import remarks
from sync.errors import RejectedError
from sync.events import AnyEvent, Event, RowMessage
from sync.parsing.parser import parse_event
from sync.parsing.reduction import reduced_body

logger = logging.getLogger(__name__)

PERIOD_SECONDS = 3600.0
# Between two transactions, so that deliveries are not held up.
PAUSE_SECONDS = 0.1
# Entries of one transaction. A body may have a megabyte, and SQLite has a single writer.
BODIES_REMOVED_AT_ONCE = 50
REFUSED_KEPT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class KeptBodies:
    """The time for which bodies are kept: after the event was applied, or after one came that was
    refused."""

    applied: timedelta
    refused: timedelta = REFUSED_KEPT

    def limits(self, now: datetime) -> BodyLimits:
        return BodyLimits(now - self.applied, now - self.refused)


async def bodies_to_remove(database: Database, keep: KeptBodies, now: datetime) -> int:
    """Returns how many entries would lose their values now."""
    async with database.read() as session:
        return await count_expired_bodies(session, keep.limits(now))


async def remove_some_bodies(database: Database, keep: KeptBodies, now: datetime) -> int:
    """Removes the values of the oldest entries, and returns of how many; 0 means that it is done.

    One process at a time does it. Raises DatabaseUnavailableError or ConcurrentWriteError.
    """
    async with database.write(exclusive=[body_retention_lock()]) as session:
        entries = await expired_bodies(session, keep.limits(now), BODIES_REMOVED_AT_ONCE)
        for entry in entries:
            _reduce(entry)
        if entries:
            await save_without_values(session, entries, now)
    return len(entries)


def _reduce(entry: ExpiredBody) -> None:
    entry.field_changes = [FieldChange(one.field, None, None) for one in entry.field_changes]
    try:
        event = parse_event(entry.payload, max_roles=None)
    except RejectedError:
        entry.payload = b""
        return
    if isinstance(event, Event) and event.reason and entry.detail:
        without = entry.detail.replace(remarks.reason_given(event.reason), "")
        entry.detail = " ".join(without.split()) or None
    entry.payload = reduced_body(event) if isinstance(event, AnyEvent | RowMessage) else b""


class BodyRetention(BackgroundTask):
    """A task that removes the values of old events every hour; it runs inside `async with`."""

    _task_name = "body retention"

    def __init__(self, database: Database, keep: KeptBodies, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._keep = keep
        self._clock = clock
        self.removed = 0

    async def _run(self) -> None:
        while True:
            before = self.removed
            try:
                while removed := await remove_some_bodies(
                    self._database, self._keep, self._clock()
                ):
                    self.removed += removed
                    await asyncio.sleep(PAUSE_SECONDS)
            except (DatabaseUnavailableError, ConcurrentWriteError):
                # Requests report an unreachable database; this goes on an hour later.
                pass
            except Exception:
                # Any error may pass, such as one while a database is restored or fails over.
                logger.exception("The values of old events could not be removed.")
            if self.removed > before:
                logger.info("The values of %d old events were removed.", self.removed - before)
            await asyncio.sleep(PERIOD_SECONDS)
