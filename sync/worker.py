"""The retry worker: tries failed events again when they are due.

It sleeps until the next one is due, and is woken by the change feed when one fails before that.
Entries are leased, so several workers never apply one event at the same time, and those of a
worker that died come back by themselves.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from db.database import Database
from db.errors import ConcurrentWriteError, DatabaseUnavailableError, SlowConsumerError
from db.feed.change_feed import LiveFeed, QueueFollower
from db.queries.attempts import (
    RETRIED,
    insert_attempts,
    lease_due,
    leased_entries,
    next_due,
    update_entries,
)
from db.queries.entries import EntryRecord, entry_facts
from db.vocabulary import AttemptTrigger, EntryId, SyncStatus
from sync.apply import ReceivedEvent, Result
from sync.errors import RejectedError
from sync.events import Event, parse_event
from sync.retry import as_received, attempt, attempt_of, change_of, locks_to_apply

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=30)
BATCH = 50
# Nothing is due before, unless the feed says so.
LONGEST_SLEEP = 60.0
OUTAGE_SECONDS = 1.0


class RetryWorker:
    """Runs inside `async with`; leaving it finishes the attempt under way."""

    def __init__(self, database: Database, feed: LiveFeed, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._feed = feed
        self._clock = clock
        self._busy = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "RetryWorker":
        self._task = asyncio.create_task(self._run(), name="retry worker")
        return self

    async def __aexit__(self, *_: object) -> None:
        async with self._busy:
            if self._task is not None:
                self._task.cancel()
                with suppress(asyncio.CancelledError):
                    await self._task

    async def _run(self) -> None:
        while True:
            try:
                async with self._feed.follow(self._feed.position) as follower:
                    await self._work(follower)
            except SlowConsumerError:
                continue
            except DatabaseUnavailableError:
                await asyncio.sleep(OUTAGE_SECONDS)
            except Exception:
                # The worker must outlive whatever goes wrong; the leases run out by themselves.
                logger.exception("The retry worker stumbled.")
                await asyncio.sleep(OUTAGE_SECONDS)

    async def _work(self, follower: QueueFollower) -> None:
        while True:
            async with self._busy:
                while await retry_due(self._database, self._clock):
                    pass
                async with self._database.read() as session:
                    due = await next_due(session)
            await self._sleep(follower, due)

    async def _sleep(self, follower: QueueFollower, due: datetime | None) -> None:
        """Until then, or until something failed in the meantime."""
        loop = asyncio.get_running_loop()
        patience = LONGEST_SLEEP
        if due is not None:
            patience = min((due - self._clock()).total_seconds(), LONGEST_SLEEP)
        wake_at = loop.time() + patience
        while (left := wake_at - loop.time()) > 0:
            for change in await follower.next_changes(left):
                after = change.facts.entry_after
                if after is not None and after.status in RETRIED:
                    return


async def retry_due(database: Database, clock: Callable[[], datetime]) -> int:
    """Tries what is due now, up to a batch; returns how many it took.

    Raises DatabaseUnavailableError.
    """
    until = clock() + LEASE
    async with database.write() as session:
        ids = await lease_due(session, clock(), until, BATCH)
    if not ids:
        return 0
    try:
        async with asyncio.timeout(LEASE.total_seconds() * 0.8):
            await _retry_leased(database, ids, until, clock)
    except ConcurrentWriteError:
        logger.info("Another process wrote the same rows; the retries come back.")
    except TimeoutError:
        logger.warning("%d retries took too long; they come back when their lease ends.", len(ids))
    return len(ids)


async def _retry_leased(
    database: Database, ids: list[EntryId], until: datetime, clock: Callable[[], datetime]
) -> None:
    async with database.write(exclusive=await locks_to_apply(database, ids)) as session:
        entries = await leased_entries(session, ids, until)
        before = {entry.id: entry_facts(entry) for entry in entries}
        readable = [(entry, event) for entry in entries if (event := _event(entry)) is not None]
        now = clock()
        results = await attempt(session, readable, now)
        tried: list[tuple[EntryRecord, Result]] = [
            (entry, result) for (entry, _), result in zip(readable, results, strict=True)
        ]
        await update_entries(session, [entry for entry, _ in tried])
        await insert_attempts(
            session,
            [attempt_of(entry, result, now, AttemptTrigger.RETRY) for entry, result in tried],
        )
        for entry, result in tried:
            session.append(change_of(entry, before[entry.id], result))
            if entry.status is SyncStatus.DEAD:
                logger.error("Event %s of %s is no longer tried.", entry.event_id, entry.source)


def _event(entry: EntryRecord) -> ReceivedEvent | None:
    """What failed was an event once, so it can be read; if not, it waits for its lease to end."""
    try:
        event = parse_event(entry.payload)
    except RejectedError:
        logger.exception("Event %s can no longer be read.", entry.event_id)
        return None
    return as_received(entry, event) if isinstance(event, Event) else None
