"""Replay: applies recorded events again because somebody asked for it.

The order of statements makes this safe: an event writes only what nothing newer has stated.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from msgspec.structs import replace

from db.database import Database
from db.errors import ConcurrentWriteError, DatabaseUnavailableError
from db.queries.log.attempt_records import (
    Attempt,
    attempts_of,
    entries_to_replay,
    insert_attempts,
    update_entries,
)
from db.queries.log.audit_trail import Act, record_act
from db.queries.log.entries import EntryRecord, entry_facts
from db.sessions import WriteSession
from db.vocabulary import AttemptTrigger, AuditAction, EntryId, SyncOutcome, SyncStatus
from sync import remarks
from sync.applying.batch import ReceivedEvent, Result
from sync.errors import RejectedError
from sync.events import AnyEvent, RowMessage
from sync.parsing.parser import parse_event
from sync.recording.attempts import (
    attempt,
    attempt_record,
    change_of,
    follow_merges,
    locks_to_apply,
    received_event,
)

BATCH = 100
MAX_ROUNDS = 20
# Outcomes of a replay that leave the entry of an applied event as it was.
_NOTHING_NEW = (SyncOutcome.UNCHANGED, SyncOutcome.STALE)


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """A request to replay; actor and reason are kept in the history of each entry."""

    actor: str
    reason: str | None = None
    dry_run: bool = False


@dataclass(slots=True)
class Replayed:
    """Counts the events of a replay. `changed` are those that changed a member, or would have."""

    matched: int = 0
    changed: int = 0
    statuses: Counter[SyncStatus] = field(default_factory=Counter)
    outcomes: Counter[SyncOutcome] = field(default_factory=Counter)


async def replay_entries(
    database: Database,
    ids: Sequence[EntryId],
    request: ReplayRequest,
    clock: Callable[[], datetime],
    on_progress: Callable[[Replayed], None] = lambda replayed: None,
) -> Replayed:
    """Replays the entries in batches, each in a transaction of its own.

    A dry run does the same and rolls each batch back, so a batch does not see what the batches
    before it would have changed.

    Raises DatabaseUnavailableError; the batches before that are committed.
    """
    total = Replayed()
    if ids and not request.dry_run:
        act = Act(request.actor, AuditAction.EVENTS_REPLAYED, ids, detail=request.reason)
        async with database.write() as session:
            await record_act(session, act, clock())
    for start in range(0, len(ids), BATCH):
        tried = await _replay_batch(database, ids[start : start + BATCH], request, clock)
        total.matched += len(tried)
        for result in tried:
            total.statuses[result.status] += 1
            total.changed += bool(result.field_changes)
            if result.outcome is not None:
                total.outcomes[result.outcome] += 1
        on_progress(total)
    return total


async def _replay_batch(
    database: Database,
    ids: Sequence[EntryId],
    request: ReplayRequest,
    clock: Callable[[], datetime],
) -> list[Result]:
    for _ in range(MAX_ROUNDS):
        try:
            async with database.write(exclusive=await locks_to_apply(database, ids)) as session:
                results = await _replay(session, ids, request, clock())
                if request.dry_run:
                    session.discard()
        except ConcurrentWriteError:
            continue
        return results
    raise DatabaseUnavailableError("Other processes keep writing the same rows.")


async def _replay(
    session: WriteSession, ids: Sequence[EntryId], request: ReplayRequest, now: datetime
) -> list[Result]:
    entries = await entries_to_replay(session, ids)
    before = [replace(entry) for entry in entries]
    results = await _apply_again(session, entries, now)
    for entry, known, result in zip(entries, before, results, strict=True):
        if known.status is SyncStatus.SUCCESS and result.outcome in _NOTHING_NEW:
            # The entry keeps what the event did when it was applied.
            entry.status, entry.outcome = known.status, known.outcome
            entry.detail, entry.field_changes = known.detail, known.field_changes
    follow_merges(entries, results)
    await update_entries(session, entries)
    await insert_attempts(session, await _first_attempts(session, before))
    who = {"actor": request.actor, "reason": request.reason}
    await insert_attempts(
        session,
        [
            attempt_record(entry, result, now, AttemptTrigger.REPLAY, **who)
            for entry, result in zip(entries, results, strict=True)
        ],
    )
    for entry, known, result in zip(entries, before, results, strict=True):
        session.append(change_of(entry, entry_facts(known), result))
    return results


async def _apply_again(
    session: WriteSession, entries: Sequence[EntryRecord], now: datetime
) -> list[Result]:
    """Returns one result for each entry; one that still cannot be read keeps its status."""
    contents = [_read(entry) for entry in entries]
    events = [
        (entry, content)
        for entry, content in zip(entries, contents, strict=True)
        if isinstance(content, ReceivedEvent)
    ]
    applied = iter(await attempt(session, events, now))
    results = []
    for entry, content in zip(entries, contents, strict=True):
        if isinstance(content, Result):
            if content.status is SyncStatus.PENDING:
                entry.status, entry.next_attempt_at = SyncStatus.PENDING, now
            entry.attempts += 1
            results.append(content)
        else:
            results.append(next(applied))
    return results


async def _first_attempts(session: WriteSession, entries: Sequence[EntryRecord]) -> list[Attempt]:
    """Returns history rows for the first attempts. Until the replay only the entries hold them."""
    earlier = await attempts_of(session, [entry.id for entry in entries])
    return [
        attempt_record(
            entry,
            Result(entry.status, entry.outcome, entry.detail),
            entry.processed_at or entry.received_at,
            AttemptTrigger.DELIVERY,
        )
        for entry in entries
        if entry.attempts and not earlier[entry.id]
    ]


def _read(entry: EntryRecord) -> ReceivedEvent | Result:
    """Returns the event, or the result for a body that is still none."""
    if not entry.payload:
        return Result(entry.status, entry.outcome, remarks.BODY_REMOVED)
    try:
        event = parse_event(entry.payload)
    except RejectedError as error:
        return Result(SyncStatus.REJECTED, detail=str(error))
    if isinstance(event, AnyEvent):
        return received_event(entry, event)
    if isinstance(event, RowMessage):
        return Result(SyncStatus.PENDING, detail=remarks.ROW_IS_READ_AGAIN)
    return Result(SyncStatus.SKIPPED, SyncOutcome.IGNORED, entry.detail)
