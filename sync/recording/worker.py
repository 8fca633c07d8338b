"""The retry worker: tries failed events again when they are due.

It sleeps until the next event is due; the change feed wakes it earlier when an event fails. Entries
are leased, so that two workers never apply the same event. When a worker dies, its leases end.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from db.database import Database
from db.errors import ConcurrentWriteError, DatabaseUnavailableError, SlowConsumerError
from db.feed.change_feed import LiveFeed, QueueFollower
from db.queries.log.attempt_records import (
    RETRIED,
    insert_attempts,
    lease_due,
    leased_entries,
    next_due,
    save_payloads,
    update_entries,
)
from db.queries.log.entries import EntryRecord, entry_facts
from db.vocabulary import AttemptTrigger, EntryId, SyncStatus
from sync.applying.batch import ReceivedEvent, Result
from sync.errors import RejectedError, SourceUnreadableError
from sync.events import AnyEvent
from sync.parsing.parser import parse_event
from sync.recording.attempts import (
    attempt,
    attempt_record,
    change_of,
    follow_merges,
    locks_of,
    locks_to_apply,
    postpone,
    received_event,
)
from sync.recording.read_back import NO_READERS, ReadRow, RowReaders, read_rows

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=30)
BATCH = 50
LONGEST_SLEEP_SECONDS = 60.0
PAUSE_AFTER_ERROR_SECONDS = 1.0


class RetryWorker:
    """Runs as a task while its async context is open. Leaving it finishes the current attempt."""

    def __init__(
        self,
        database: Database,
        feed: LiveFeed,
        clock: Callable[[], datetime],
        readers: RowReaders = NO_READERS,
    ) -> None:
        """Makes a worker; `readers` read the rows that messages of their sources point at."""
        self._readers = readers
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
                await asyncio.sleep(PAUSE_AFTER_ERROR_SECONDS)
            except Exception:
                # The worker goes on whatever happens. The leases of these entries will end.
                logger.exception("The retry worker met an unexpected error.")
                await asyncio.sleep(PAUSE_AFTER_ERROR_SECONDS)

    async def _work(self, follower: QueueFollower) -> None:
        while True:
            async with self._busy:
                while await retry_due(self._database, self._clock, self._readers):
                    pass
                async with self._database.read() as session:
                    due = await next_due(session)
            await self._sleep(follower, due)

    async def _sleep(self, follower: QueueFollower, due: datetime | None) -> None:
        """Waits until `due`, or until another event fails."""
        loop = asyncio.get_running_loop()
        seconds = LONGEST_SLEEP_SECONDS
        if due is not None:
            seconds = min((due - self._clock()).total_seconds(), LONGEST_SLEEP_SECONDS)
        wake_at = loop.time() + seconds
        while (left := wake_at - loop.time()) > 0:
            for change in await follower.next_changes(left):
                after = change.facts.entry_after
                if after is not None and after.status in RETRIED:
                    return


async def retry_due(
    database: Database, clock: Callable[[], datetime], readers: RowReaders = NO_READERS
) -> int:
    """Tries the entries that are due, up to a batch, and returns how many it leased.

    Raises DatabaseUnavailableError.
    """
    until = clock() + LEASE
    async with database.write() as session:
        ids = await lease_due(session, clock(), until, BATCH)
    if not ids:
        return 0
    try:
        async with asyncio.timeout(LEASE.total_seconds() * 0.8):
            rows = await read_rows(database, ids, readers)
            await _retry_leased(database, ids, until, clock, rows)
    except ConcurrentWriteError:
        logger.info("Another process wrote the same rows; the events are tried again.")
    except TimeoutError:
        logger.warning("%d events took too long; they are tried again.", len(ids))
    return len(ids)


async def _retry_leased(
    database: Database,
    ids: list[EntryId],
    until: datetime,
    clock: Callable[[], datetime],
    rows: Mapping[EntryId, ReadRow],
) -> None:
    read = {id: row for id, row in rows.items() if isinstance(row, bytes)}
    locks = await locks_to_apply(database, ids) | locks_of(read.values())
    async with database.write(exclusive=locks) as session:
        entries = await leased_entries(session, ids, until)
        before = {entry.id: entry_facts(entry) for entry in entries}
        for entry in entries:
            entry.payload = read.get(entry.id, entry.payload)
        readable = [(entry, event) for entry in entries if (event := _event(entry)) is not None]
        now = clock()
        unread = [
            (entry, postpone(entry, str(row), now))
            for entry in entries
            if isinstance(row := rows.get(entry.id), SourceUnreadableError)
        ]
        results = await attempt(session, readable, now)
        tried: list[tuple[EntryRecord, Result]] = [
            *((entry, result) for (entry, _), result in zip(readable, results, strict=True)),
            *unread,
        ]
        follow_merges(entries, results)
        await update_entries(session, [entry for entry, _ in tried])
        await save_payloads(
            session, {e.id: e.payload for e in entries if e.id in read or not e.payload}
        )
        await insert_attempts(
            session,
            [attempt_record(entry, result, now, AttemptTrigger.RETRY) for entry, result in tried],
        )
        for entry, result in tried:
            session.append(change_of(entry, before[entry.id], result))
            if entry.status is SyncStatus.DEAD:
                logger.error("Event %s of %s is no longer tried.", entry.event_id, entry.source)


def _event(entry: EntryRecord) -> ReceivedEvent | None:
    """Returns the event of an entry. It could be read before; if not now, its lease has to end."""
    try:
        event = parse_event(entry.payload)
    except RejectedError:
        logger.exception("Event %s can no longer be read.", entry.event_id)
        return None
    return received_event(entry, event) if isinstance(event, AnyEvent) else None
