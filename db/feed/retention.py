"""Retention of the change feed: the oldest changes are deleted, so the rest has no gaps."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select

from db.background_task import BackgroundTask
from db.database import Database
from db.errors import ConcurrentWriteError, DatabaseUnavailableError
from db.sessions import ReadSession
from db.tables.models import Change, FeedHead
from db.vocabulary import Position

logger = logging.getLogger(__name__)

PERIOD_SECONDS = 60.0
# Changes deleted in one transaction. On SQLite nobody else can write meanwhile.
CHUNK = 2000


@dataclass(frozen=True, slots=True)
class Keep:
    """Changes are kept while they are younger than `age` and one of the last `count`."""

    age: timedelta
    count: int


async def prune_changes(database: Database, keep: Keep, now: datetime) -> int:
    """Deletes changes that are not kept, and returns how many. Several processes may do so at the
    same time."""
    async with database.read() as session:
        last = await _last_to_go(session, keep, now)
        oldest = await session.scalar(select(func.min(Change.position)))
    deleted = 0
    while oldest is not None and oldest <= last:
        end = min(oldest + CHUNK - 1, last)
        async with database.write() as session:
            found = await session.run(delete(Change).where(Change.position <= end))
        deleted += found.rowcount
        oldest = end + 1
    return deleted


async def _last_to_go(session: ReadSession, keep: Keep, now: datetime) -> Position:
    head = await session.scalar(select(FeedHead.position)) or 0
    # By position, which is not quite the order of time: each process reads its own clock, and
    # reads it before it takes the position. The first young change is found after few others,
    # since older ones are deleted every minute.
    first_young = await session.scalar(
        select(Change.position)
        .where(Change.committed_at >= now - keep.age)
        .order_by(Change.position)
        .limit(1)
    )
    too_old = head if first_young is None else first_young - 1
    return Position(max(too_old, head - keep.count))


class Retention(BackgroundTask):
    """A task that deletes old changes every minute; it runs inside `async with`."""

    _task_name = "retention"

    def __init__(self, database: Database, keep: Keep, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._keep = keep
        self._clock = clock

    async def _run(self) -> None:
        while True:
            try:
                deleted = await prune_changes(self._database, self._keep, self._clock())
            except (DatabaseUnavailableError, ConcurrentWriteError):
                # Requests report an unreachable database; this is done a minute later.
                deleted = 0
            except Exception:
                # Any error may pass, such as one while a database is restored or fails over.
                logger.exception("Old changes could not be deleted from the feed.")
                deleted = 0
            if deleted:
                logger.info("%d old changes were deleted from the feed.", deleted)
            await asyncio.sleep(PERIOD_SECONDS)
