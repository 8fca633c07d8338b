"""One attempt to apply recorded events, whatever set it off: a delivery, the schedule, or somebody
who asked. Every event is isolated from its neighbours."""

import logging
import random
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from db.database import Database
from db.driver.locks import LockName
from db.errors import ConcurrentWriteError, DatabaseUnavailableError
from db.publication import NewChange
from db.queries.attempts import Attempt
from db.queries.entries import EntryRecord, entry_facts, payloads
from db.sessions import WriteSession
from db.tables.facts import ChangeFacts, EntryFacts
from db.vocabulary import AttemptTrigger, EntryId, SyncStatus
from sync.apply import Reading, ReceivedEvent, Result, apply_events, locks_for
from sync.errors import RejectedError
from sync.events import Event, parse_event

logger = logging.getLogger(__name__)

FIRST_DELAYS = (1, 5, 15, 30)
"""Seconds until the second, third, … attempt; from there on the delay doubles."""
LONGEST_DELAY = 3600
JITTER = 0.2
GIVE_UP_AFTER = timedelta(hours=24)


def as_received(entry: EntryRecord, event: Event) -> ReceivedEvent:
    return ReceivedEvent(entry.source, entry.event_id, entry.received_at, event)


async def locks_to_apply(database: Database, ids: Collection[EntryId]) -> set[LockName]:
    """The locks for recorded events. They come before the locks of the entries themselves, as with
    events that are delivered again at the same moment."""
    async with database.read() as session:
        bodies = await payloads(session, ids)
    return locks_for([event for body in bodies.values() if (event := _event_of(body))])


def _event_of(body: bytes) -> Event | None:
    try:
        event = parse_event(body)
    except RejectedError:
        return None
    return event if isinstance(event, Event) else None


def retry_delay(attempts: int) -> timedelta:
    """How long to wait after so many attempts (at least one)."""
    if attempts <= len(FIRST_DELAYS):
        seconds = FIRST_DELAYS[attempts - 1]
    else:
        doublings = min(attempts - len(FIRST_DELAYS), 12)
        seconds = min(FIRST_DELAYS[-1] * 2**doublings, LONGEST_DELAY)
    # Events that failed together need not come back together.
    return timedelta(seconds=seconds * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311


async def attempt(
    session: WriteSession,
    events: Sequence[tuple[EntryRecord, ReceivedEvent]],
    now: datetime,
    *,
    reading: Reading | None = None,
) -> list[Result]:
    """Applies the events and writes what became of them into their entries (not yet saved).

    With a `reading` of the events it does without savepoints: if the database refuses something,
    the transaction is lost, and the caller has to begin again without.

    Raises ConcurrentWriteError or DatabaseUnavailableError: then nothing was done.
    """
    received = [event for _, event in events]
    if not received:
        results = []
    elif reading is not None:
        results = await apply_events(session, received, now, reading=reading)
    else:
        results = await _isolated(session, received, now)
    for (entry, event), result in zip(events, results, strict=True):
        _complete(entry, event, result, now)
    return results


async def _isolated(
    session: WriteSession,
    events: Sequence[ReceivedEvent],
    now: datetime,
    unrecorded: Sequence[ReceivedEvent] = (),
) -> list[Result]:
    """All together; if the database refuses something of it, one by one, so that one bad event
    does not spoil its neighbours."""
    try:
        async with session.savepoint():
            return await apply_events(session, events, now, unrecorded=unrecorded)
    except (ConcurrentWriteError, DatabaseUnavailableError):
        raise
    except Exception as error:
        # Anything else is the fault of an event in the set, or of our own code.
        if len(events) == 1:
            logger.exception("Event %s could not be applied.", events[0].event_id)
            name = type(error).__name__
            return [Result(SyncStatus.FAILED, detail=f"The event could not be applied: {name}.")]
    results: list[Result] = []
    for event in events:
        told = zip(events, results, strict=False)
        applied = [earlier for earlier, result in told if result.member is not None]
        results += await _isolated(session, [event], now, applied)
    return results


def _complete(entry: EntryRecord, event: ReceivedEvent, result: Result, now: datetime) -> None:
    entry.event_type = event.event.type.value
    entry.occurred_at = event.at
    entry.attempts += 1
    entry.detail = result.detail
    if result.status is SyncStatus.FAILED:
        _try_later(entry, now)
        return
    entry.status = result.status
    entry.outcome = result.outcome
    entry.field_changes = result.field_changes
    entry.processed_at = now
    entry.next_attempt_at = None
    if result.member is not None:
        entry.member_id = result.member.id
        entry.organization_id = result.member.organization_id


def _try_later(entry: EntryRecord, now: datetime) -> None:
    entry.outcome = None
    if now - entry.received_at >= GIVE_UP_AFTER:
        entry.status = SyncStatus.DEAD
        entry.next_attempt_at = None
    else:
        entry.status = SyncStatus.FAILED
        entry.next_attempt_at = now + retry_delay(entry.attempts)


def change_of(entry: EntryRecord, before: EntryFacts | None, result: Result | None) -> NewChange:
    """What the feed is told of an entry and, if it changed, of its member."""
    before_it, after_it = (result.before, result.after) if result else (None, None)
    return NewChange(
        entry_id=entry.id,
        member_id=entry.member_id if after_it else None,
        facts=ChangeFacts(
            member_before=before_it,
            member_after=after_it,
            entry_before=before,
            entry_after=entry_facts(entry),
        ),
    )


def attempt_of(
    entry: EntryRecord,
    result: Result,
    now: datetime,
    trigger: AttemptTrigger,
    *,
    actor: str | None = None,
    reason: str | None = None,
) -> Attempt:
    """For the history."""
    return Attempt(
        entry_id=entry.id,
        attempted_at=now,
        trigger=trigger,
        status=result.status,
        outcome=result.outcome,
        detail=result.detail,
        actor=actor,
        reason=reason,
    )
