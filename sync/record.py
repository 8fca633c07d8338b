"""Records deliveries and applies their events, together in one transaction.

An event is recorded once, for ever, under its source and id. A repeated delivery changes nothing
but a counter. An event that cannot be applied leaves its record behind, to be tried again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from db.attempts import insert_attempts
from db.errors import ConcurrentWriteError, DatabaseUnavailableError
from db.models import ChangeFacts
from db.sync_log import (
    EntryRecord,
    EntryRow,
    count_delivery,
    entry_facts,
    insert_entries,
    recorded_entries,
)
from db.unit_of_work import Database, NewChange, WriteSession
from db.vocabulary import AttemptTrigger, SyncOutcome, SyncStatus
from sync.attempt import as_received, attempt, attempt_of, change_of
from sync.deliveries import Delivery, Receipt, conflicting, receipt_of
from sync.errors import RejectedError
from sync.events import Event

# In every round at least one of the processes that write the same rows gets through.
MAX_ROUNDS = 20

Key = tuple[str, str]
Recorded = dict[Key, tuple[EntryRow, bytes]]


async def record_deliveries(database: Database, deliveries: Sequence[Delivery]) -> list[Receipt]:
    """One receipt per delivery; when it returns, everything they tell is durable.

    Raises DatabaseUnavailableError: then nothing was recorded.
    """
    hopeful = True
    for _ in range(MAX_ROUNDS):
        try:
            async with database.write() as session:
                return await _record(session, deliveries, hopeful=hopeful)
        except ConcurrentWriteError:
            continue
        except DatabaseUnavailableError:
            raise
        except Exception:
            # The database refuses something of one of the events. Find out which, one by one.
            if not hopeful:
                raise
            hopeful = False
    raise DatabaseUnavailableError("Other processes keep writing the same rows.")


async def _record(
    session: WriteSession, deliveries: Sequence[Delivery], *, hopeful: bool
) -> list[Receipt]:
    recorded = await _recorded(session, deliveries)
    deliveries = _set_conflicts_apart(deliveries, recorded)
    recorded |= await _recorded(session, [d for d in deliveries if d.conflict])
    fresh: dict[Key, tuple[EntryRecord, Delivery]] = {}
    for delivery in deliveries:
        if delivery.key in recorded:
            await _count_repeat(session, recorded, delivery.key)
        elif delivery.key in fresh:
            fresh[delivery.key][0].deliveries += 1
        else:
            fresh[delivery.key] = _new_entry(delivery), delivery
    await _apply_and_insert(session, list(fresh.values()), hopeful=hopeful)
    return [_receipt(delivery, recorded, fresh) for delivery in deliveries]


async def _recorded(session: WriteSession, deliveries: Iterable[Delivery]) -> Recorded:
    ids: dict[str, set[str]] = {}
    for delivery in deliveries:
        ids.setdefault(delivery.source, set()).add(delivery.event_id)
    found: Recorded = {}
    for source in sorted(ids):
        entries = await recorded_entries(session, source, sorted(ids[source]))
        found |= {(source, event_id): entry for event_id, entry in entries.items()}
    return found


def _set_conflicts_apart(deliveries: Sequence[Delivery], recorded: Recorded) -> list[Delivery]:
    bodies = {key: body for key, (_, body) in recorded.items()}
    apart = []
    for delivery in deliveries:
        body = bodies.setdefault(delivery.key, delivery.body)
        apart.append(delivery if body == delivery.body else conflicting(delivery))
    return apart


async def _count_repeat(session: WriteSession, recorded: Recorded, key: Key) -> None:
    entry, _ = recorded[key]
    await count_delivery(session, entry.id)
    facts = entry_facts(entry)
    session.append(
        NewChange(entry_id=entry.id, facts=ChangeFacts(entry_before=facts, entry_after=facts))
    )


def _new_entry(delivery: Delivery) -> EntryRecord:
    """An entry as it stands before anything is applied."""
    content = delivery.content
    entry = EntryRecord(
        source=delivery.source,
        event_id=delivery.event_id,
        received_at=delivery.received_at,
        payload=delivery.body,
        status=SyncStatus.PENDING,
    )
    if isinstance(content, RejectedError):
        return replace(entry, status=SyncStatus.REJECTED, detail=str(content))
    if isinstance(content, Event):
        return replace(entry, event_type=content.type.value)
    return replace(
        entry,
        event_type=content.type,
        status=SyncStatus.SKIPPED,
        outcome=SyncOutcome.IGNORED,
        processed_at=datetime.now(UTC),
        detail=f"Events of the type {content.type!r} are not known here.",
    )


async def _apply_and_insert(
    session: WriteSession, fresh: Sequence[tuple[EntryRecord, Delivery]], *, hopeful: bool
) -> None:
    now = datetime.now(UTC)
    events = [
        (entry, as_received(entry, delivery.content))
        for entry, delivery in fresh
        if isinstance(delivery.content, Event)
    ]
    results = await attempt(session, events, now, hopeful=hopeful)
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


def _receipt(
    delivery: Delivery, recorded: Recorded, fresh: dict[Key, tuple[EntryRecord, Delivery]]
) -> Receipt:
    entry = recorded[delivery.key][0] if delivery.key in recorded else fresh[delivery.key][0]
    return receipt_of(delivery, entry.status, entry.outcome, entry.detail)
