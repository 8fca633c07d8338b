"""An attempt to apply recorded events, set off by a delivery, the schedule or a replay.

Each event is isolated: one that fails does not affect the others of the same attempt.
"""

import logging
from collections.abc import Collection, Sequence
from datetime import datetime

from db.database import Database
from db.driver.locks import LockName
from db.errors import ConcurrentWriteError, DatabaseUnavailableError, StatementRefusedError
from db.publication import NewChange
from db.queries.log.attempt_records import Attempt
from db.queries.log.entries import EntryRecord, entry_facts, payloads
from db.queries.members.member_records import MemberHome, member_homes
from db.sessions import WriteSession
from db.tables.facts import ChangeFacts, EntryFacts
from db.vocabulary import AttemptTrigger, EntryId, SyncOutcome, SyncStatus
from sync import remarks
from sync.applying.apply import apply_events
from sync.applying.batch import ReceivedEvent, Result
from sync.applying.forgetting import forgets
from sync.applying.reading import Reading, locks_for
from sync.errors import RejectedError
from sync.events import AnyEvent, Event
from sync.parsing.parser import parse_event
from sync.recording.retry import next_attempt

logger = logging.getLogger(__name__)


def received_event(entry: EntryRecord, event: AnyEvent) -> ReceivedEvent:
    """Returns the event of an entry with what is known of its receipt."""
    return ReceivedEvent(entry.source, entry.event_id, entry.received_at, event, was_applied(entry))


def was_applied(entry: EntryRecord) -> bool:
    """Returns True if the event of an entry was applied once, whatever became of it since."""
    return entry.processed_at is not None and entry.outcome is not SyncOutcome.IGNORED


async def locks_to_apply(database: Database, ids: Collection[EntryId]) -> set[LockName]:
    """Returns the locks for the events of these entries. They are taken before the entries
    themselves are locked, in the same order as for events that are delivered at that moment."""
    async with database.read() as session:
        bodies = await payloads(session, ids)
    return locks_of(bodies.values())


def locks_of(bodies: Collection[bytes]) -> set[LockName]:
    """Returns the locks for the events that these bodies are."""
    return locks_for([event for body in bodies if (event := _event_of(body))])


def _event_of(body: bytes) -> AnyEvent | None:
    try:
        event = parse_event(body)
    except RejectedError:
        return None
    return event if isinstance(event, AnyEvent) else None


async def attempt(
    session: WriteSession,
    events: Sequence[tuple[EntryRecord, ReceivedEvent]],
    now: datetime,
    *,
    reading: Reading | None = None,
) -> list[Result]:
    """Applies the events and sets the results in their entries, which the caller saves.

    With a fetched `reading` no savepoints are used: an event that the database refuses then ends
    the transaction, and the caller begins again without a reading.

    Raises ConcurrentWriteError or DatabaseUnavailableError; then nothing is applied.
    """
    received = [event for _, event in events]
    if not received:
        results = []
    elif reading is not None:
        results = await apply_events(session, received, now, reading)
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
    """Applies all events together and, if the database refuses that, one by one."""
    try:
        async with session.savepoint():
            reading = await Reading.fetched(session, [received.event for received in events])
            return await apply_events(session, events, now, reading, unrecorded=unrecorded)
    except (ConcurrentWriteError, DatabaseUnavailableError):
        raise
    except Exception as error:
        # Whatever else it is, one of the events causes it, or a mistake in our code.
        if len(events) == 1:
            logger.exception("Event %s could not be applied.", events[0].event_id)
            # Other errors may quote the event.
            refused = isinstance(error, StatementRefusedError)
            reason = str(error) if refused else f"{type(error).__name__}."
            home = await _home(session, events[0].event)
            return [Result(SyncStatus.FAILED, detail=remarks.not_applied(reason), home=home)]
    results: dict[int, Result] = {}
    # What is forgotten is so before anything else is applied that is not recorded yet.
    for index in sorted(range(len(events)), key=lambda index: not forgets(events[index])):
        applied = [events[n] for n, result in results.items() if result.member is not None]
        (results[index],) = await _isolated(session, [events[index]], now, applied)
    return [results[index] for index in range(len(events))]


async def _home(session: WriteSession, event: AnyEvent) -> MemberHome | None:
    if not isinstance(event, Event):
        return None
    homes = await session.find(member_homes([event.member_id]))
    return homes.get(event.member_id)


def _complete(entry: EntryRecord, event: ReceivedEvent, result: Result, now: datetime) -> None:
    entry.event_type = event.event.type.value
    entry.occurred_at = event.event.happened_at or event.at
    entry.attempts += 1
    entry.mark = result.mark or entry.mark
    if not event.applied_before:
        entry.detail = result.detail
    if not result.keeps_body:
        entry.payload = b""
    if result.status is SyncStatus.FAILED:
        if result.home is not None and entry.member_id is None:
            entry.member_id, entry.organization_id = result.home
        _try_later(entry, now)
        return
    entry.status = result.status
    entry.outcome = result.outcome
    entry.field_changes = result.field_changes
    entry.next_attempt_at = None
    if event.applied_before:
        # It stays in the log of the chapter where it happened, with the time it first took.
        return
    entry.processed_at = now
    entry.organization_id = result.chapter_id
    if result.member is not None:
        entry.member_id = result.member.id


def follow_merges(entries: Collection[EntryRecord], results: Collection[Result]) -> None:
    """Lets entries that were read or made before these results, and are not saved yet, be of the
    person who lives on: the merged members are no longer there."""
    lives_on = {
        result.gone: result.member.id
        for result in results
        if result.gone is not None and result.member is not None
    }
    for entry in entries:
        while entry.member_id in lives_on:
            entry.member_id = lives_on[entry.member_id]


def postpone(entry: EntryRecord, reason: str, now: datetime) -> Result:
    """Sets in the entry, which the caller saves, that it could not be tried for this reason."""
    entry.attempts += 1
    entry.detail = reason
    _try_later(entry, now)
    return Result(SyncStatus.FAILED, detail=reason)


def _try_later(entry: EntryRecord, now: datetime) -> None:
    entry.outcome = None
    entry.next_attempt_at = next_attempt(entry.received_at, entry.attempts, now)
    entry.status = SyncStatus.DEAD if entry.next_attempt_at is None else SyncStatus.FAILED


def change_of(entry: EntryRecord, before: EntryFacts | None, result: Result | None) -> NewChange:
    """Returns the change of an entry and, if it changed, of its member, for the change feed."""
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


def attempt_record(
    entry: EntryRecord,
    result: Result,
    now: datetime,
    trigger: AttemptTrigger,
    *,
    actor: str | None = None,
    reason: str | None = None,
) -> Attempt:
    """Returns the row for the attempt history of an entry."""
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
