"""Records deliveries and applies their events, together in one transaction.

An event is recorded once, for ever, under its source and id. A repeated delivery changes nothing
but a counter. An event that cannot be applied leaves its record behind, to be tried again.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from db.database import Database
from db.errors import ConcurrentWriteError, DatabaseUnavailableError, SharedLockError
from db.publication import NewChange
from db.queries.attempts import insert_attempts
from db.queries.entries import (
    EntryRecord,
    EventKey,
    Recorded,
    entry_facts,
    insert_entries,
    new_entry_ids,
    recorded_entries,
    save_deliveries,
)
from db.sessions import WriteSession
from db.tables.facts import ChangeFacts
from db.vocabulary import AttemptTrigger, EntryId, SyncOutcome, SyncStatus
from sync.apply import Reading, member_locks, organization_locks
from sync.deliveries import Delivery, Receipt, conflicting, receipt_of
from sync.errors import RejectedError
from sync.events import Event
from sync.retry import as_received, attempt, attempt_of, change_of

# In every round at least one of the processes that write the same rows gets through.
MAX_ROUNDS = 20

Fresh = dict[EventKey, tuple[EntryRecord, Delivery]]


async def record_deliveries(database: Database, deliveries: Sequence[Delivery]) -> list[Receipt]:
    """One receipt per delivery; when it returns, everything they tell is durable.

    Tried without locks first, and in as few statements as can be; nearly always that is enough.

    Raises DatabaseUnavailableError: then nothing was recorded.
    """
    optimistic = hopeful = True
    events = [d.content for d in deliveries if isinstance(d.content, Event)]
    holding, sharing = member_locks(events), organization_locks(events)
    for _ in range(MAX_ROUNDS):
        try:
            async with database.write(holding, sharing, optimistic=optimistic) as session:
                return await _record(session, deliveries, hopeful=hopeful)
        except ConcurrentWriteError:
            optimistic = False
        except SharedLockError:
            optimistic = False
            holding, sharing = holding | sharing, set()
        except DatabaseUnavailableError:
            raise
        except Exception:
            # The database refuses something of one of the events. Find out which, one by one.
            if not hopeful:
                raise
            optimistic = hopeful = False
            holding, sharing = holding | sharing, set()
    raise DatabaseUnavailableError("Other processes keep writing the same rows.")


async def _record(
    session: WriteSession, deliveries: Sequence[Delivery], *, hopeful: bool
) -> list[Receipt]:
    recorded, ids, reading = await _look_up(session, deliveries, hopeful=hopeful)
    deliveries = _set_conflicts_apart(deliveries, recorded)
    if apart := [delivery.key for delivery in deliveries if delivery.conflict]:
        recorded_apart = await session.find(recorded_entries(apart))
        recorded = recorded | recorded_apart
    await _count_repeats(session, deliveries, recorded)
    fresh: Fresh = {}
    for delivery, id in zip(deliveries, ids, strict=True):
        if delivery.key in fresh:
            fresh[delivery.key][0].deliveries += 1
        elif delivery.key not in recorded:
            fresh[delivery.key] = _new_entry(EntryId(id), delivery), delivery
    await _apply_and_insert(session, list(fresh.values()), reading)
    return [_receipt(delivery, recorded, fresh) for delivery in deliveries]


async def _look_up(
    session: WriteSession, deliveries: Sequence[Delivery], *, hopeful: bool
) -> tuple[Recorded, list[int], Reading | None]:
    """What is recorded already, ids for what is not, and what the events touch."""
    recorded = recorded_entries([delivery.key for delivery in deliveries])
    ids = new_entry_ids(len(deliveries))
    if not hopeful:
        await session.fetch(recorded, ids)
        return recorded.found, ids.found, None
    # Also of events that turn out to be recorded: that is rare, and this saves a round trip.
    reading = Reading([d.content for d in deliveries if isinstance(d.content, Event)])
    await session.fetch(recorded, ids, *reading.queries())
    return recorded.found, ids.found, reading


def _set_conflicts_apart(deliveries: Sequence[Delivery], recorded: Recorded) -> list[Delivery]:
    bodies = {key: body for key, (_, body) in recorded.items()}
    apart = []
    for delivery in deliveries:
        body = bodies.setdefault(delivery.key, delivery.body)
        apart.append(delivery if body == delivery.body else conflicting(delivery))
    return apart


async def _count_repeats(
    session: WriteSession, deliveries: Sequence[Delivery], recorded: Recorded
) -> None:
    times = Counter(delivery.key for delivery in deliveries if delivery.key in recorded)
    repeated = [(recorded[key][0], count) for key, count in times.items()]
    if repeated:
        # Nobody else may count meanwhile.
        session.require_locked_rows()
    await save_deliveries(
        session, {entry.id: entry.deliveries + count for entry, count in repeated}
    )
    for entry, _ in repeated:
        facts = entry_facts(entry)
        session.append(
            NewChange(entry_id=entry.id, facts=ChangeFacts(entry_before=facts, entry_after=facts))
        )


def _new_entry(id: EntryId, delivery: Delivery) -> EntryRecord:
    """An entry as it stands before anything is applied."""
    content = delivery.content
    entry = EntryRecord(
        id=id,
        source=delivery.source,
        event_id=delivery.event_id,
        received_at=delivery.received_at,
        payload=delivery.body,
        status=SyncStatus.PENDING,
    )
    if isinstance(content, RejectedError):
        return replace(entry, status=SyncStatus.REJECTED, detail=str(content))
    if isinstance(content, Event):
        entry.event_type = content.type.value
        return entry
    return replace(
        entry,
        event_type=content.type,
        status=SyncStatus.SKIPPED,
        outcome=SyncOutcome.IGNORED,
        processed_at=datetime.now(UTC),
        detail=f"Events of the type {content.type!r} are not known here.",
    )


async def _apply_and_insert(
    session: WriteSession,
    fresh: Sequence[tuple[EntryRecord, Delivery]],
    reading: Reading | None,
) -> None:
    now = datetime.now(UTC)
    events = [
        (entry, as_received(entry, delivery.content))
        for entry, delivery in fresh
        if isinstance(delivery.content, Event)
    ]
    results = await attempt(session, events, now, reading=reading)
    await insert_entries(session, [entry for entry, _ in fresh])
    by_id = {entry.id: result for (entry, _), result in zip(events, results, strict=True)}
    for entry, _ in fresh:
        session.append(change_of(entry, None, by_id.get(entry.id)))
    await insert_attempts(
        session,
        [
            attempt_of(entry, result, now, AttemptTrigger.DELIVERY)
            for (entry, _), result in zip(events, results, strict=True)
            if result.status is SyncStatus.FAILED
        ],
    )


def _receipt(delivery: Delivery, recorded: Recorded, fresh: Fresh) -> Receipt:
    entry = recorded[delivery.key][0] if delivery.key in recorded else fresh[delivery.key][0]
    return receipt_of(delivery, entry.status, entry.outcome, entry.detail)
