"""Records deliveries and applies their events, in one transaction.

An event is recorded once under its source and id. A repeated delivery only increases a counter. An
event that cannot be applied is recorded all the same, and tried again later.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from msgspec.structs import replace

from db.database import Database
from db.errors import ConcurrentWriteError, DatabaseUnavailableError, SharedLockError
from db.publication import NewChange
from db.queries.chapters.organizations import organization_ids
from db.queries.log.attempt_records import insert_attempts
from db.queries.log.entries import (
    EntryRecord,
    EventKey,
    Recorded,
    entry_facts,
    insert_entries,
    new_entry_ids,
    recorded_entries,
    save_deliveries,
)
from db.queries.members.member_records import MemberHome, member_homes
from db.sessions import WriteSession
from db.tables.facts import ChangeFacts
from db.vocabulary import (
    AttemptTrigger,
    EntryId,
    EntryMark,
    MemberId,
    OrganizationId,
    PortalId,
    SyncOutcome,
    SyncStatus,
)
from sync import remarks
from sync.applying.batch import Result
from sync.applying.reading import Reading, member_locks, organization_locks
from sync.errors import RejectedError
from sync.events import AnyEvent, Outline, RowMessage
from sync.recording.attempts import (
    attempt,
    attempt_record,
    change_of,
    follow_merges,
    received_event,
)
from sync.recording.deliveries import (
    Content,
    Delivery,
    Receipt,
    conflicting,
    is_repetition,
    read_content,
    receipt_of,
)

# In each round at least one of the processes that write the same rows succeeds.
MAX_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class EntryPlaces:
    """The members and chapters that bodies which are not applied tell of, as far as known."""

    homes: Mapping[PortalId, MemberHome] = field(default_factory=dict)
    chapters: Mapping[PortalId, OrganizationId] = field(default_factory=dict)

    def of(self, outline: Outline) -> tuple[MemberId | None, OrganizationId | None]:
        """Returns the member, and where the log shows the entry: at the member's home, else at the
        chapter that the body names."""
        stated = self.chapters.get(outline.organization_id) if outline.organization_id else None
        home = self.homes.get(outline.member_id) if outline.member_id else None
        if home is None:
            return None, stated
        return home.member_id, home.organization_id or stated


NewEntries = dict[EventKey, tuple[EntryRecord, Delivery]]


async def record_deliveries(database: Database, deliveries: Sequence[Delivery]) -> list[Receipt]:
    """Returns one receipt for each delivery, after the commit.

    The first round takes no locks and uses as few statements as possible, which is only an
    optimisation: if another process writes the same rows, the next rounds take locks, and if the
    database refuses one of the events, they use savepoints.

    Raises DatabaseUnavailableError; then nothing is recorded.
    """
    optimistic, isolated = True, False
    events = [d.content for d in deliveries if isinstance(d.content, AnyEvent)]
    holding, sharing = member_locks(events), organization_locks(events)
    for _ in range(MAX_ROUNDS):
        try:
            async with database.write(holding, sharing, optimistic=optimistic) as session:
                return await record_within(session, deliveries, isolated=isolated)
        except ConcurrentWriteError:
            optimistic = False
        except SharedLockError:
            optimistic = False
            holding, sharing = holding | sharing, set()
        except DatabaseUnavailableError:
            raise
        except Exception:
            # The database refuses one of the events. Savepoints will show which one.
            if isolated:
                raise
            optimistic, isolated = False, True
            holding, sharing = holding | sharing, set()
    raise DatabaseUnavailableError("Other processes keep writing the same rows.")


async def record_within(
    session: WriteSession, deliveries: Sequence[Delivery], *, isolated: bool = False
) -> list[Receipt]:
    """Does the same within a transaction of the caller, who holds the locks of the events.

    Raises ConcurrentWriteError if another process has written the same rows.
    """
    recorded, ids, reading = await _look_up(session, deliveries, isolated=isolated)
    deliveries = _with_conflicts_marked(deliveries, recorded)
    if conflicts := [delivery.key for delivery in deliveries if delivery.conflict]:
        recorded = recorded | await session.find(recorded_entries(conflicts))
    places = await _places(session, deliveries)
    await _count_repeats(session, deliveries, recorded)
    new: NewEntries = {}
    for delivery, id in zip(deliveries, ids, strict=True):
        if delivery.key in new:
            new[delivery.key][0].deliveries += 1
        elif delivery.key not in recorded:
            new[delivery.key] = _new_entry(EntryId(id), delivery, places), delivery
    await _apply_and_insert(session, list(new.values()), reading)
    return [_receipt(delivery, recorded, new) for delivery in deliveries]


async def _look_up(
    session: WriteSession, deliveries: Sequence[Delivery], *, isolated: bool
) -> tuple[Recorded, list[int], Reading | None]:
    """Returns the entries that exist already, ids for new ones, and what the events touch."""
    recorded = recorded_entries([delivery.key for delivery in deliveries])
    ids = new_entry_ids(len(deliveries))
    if isolated:
        await session.fetch(recorded, ids)
        return recorded.found, ids.found, None
    # Repeated events are read for nothing. They are rare, and this saves a round trip.
    reading = Reading([d.content for d in deliveries if isinstance(d.content, AnyEvent)])
    await session.fetch(recorded, ids, *reading.queries())
    return recorded.found, ids.found, reading


def _with_conflicts_marked(deliveries: Sequence[Delivery], recorded: Recorded) -> list[Delivery]:
    first: dict[EventKey, tuple[bytes, Content | None]]
    first = {key: (body, None) for key, (_, body) in recorded.items()}
    marked = []
    for delivery in deliveries:
        body, content = first.setdefault(delivery.key, (delivery.body, delivery.content))
        repeats = delivery.body == body or is_repetition(
            delivery, body, content or read_content(body)
        )
        marked.append(delivery if repeats else conflicting(delivery))
    return marked


async def _places(session: WriteSession, deliveries: Sequence[Delivery]) -> EntryPlaces:
    """Returns where the log shows deliveries that are not applied."""
    outlines = [d.outline for d in deliveries if not isinstance(d.content, AnyEvent)]
    members = {outline.member_id for outline in outlines if outline.member_id}
    chapters = {outline.organization_id for outline in outlines if outline.organization_id}
    if not members and not chapters:
        return EntryPlaces()
    homes, ids = member_homes(members), organization_ids(chapters)
    await session.fetch(homes, ids)
    return EntryPlaces(homes.found, ids.found)


async def _count_repeats(
    session: WriteSession, deliveries: Sequence[Delivery], recorded: Recorded
) -> None:
    times = Counter(delivery.key for delivery in deliveries if delivery.key in recorded)
    repeated = [(recorded[key][0], count) for key, count in times.items()]
    if repeated:
        # No other process may count at the same time.
        session.require_locked_rows()
    await save_deliveries(
        session, {entry.id: entry.deliveries + count for entry, count in repeated}
    )
    for entry, _ in repeated:
        facts = entry_facts(entry)
        session.append(
            NewChange(entry_id=entry.id, facts=ChangeFacts(entry_before=facts, entry_after=facts))
        )


def _new_entry(id: EntryId, delivery: Delivery, places: EntryPlaces) -> EntryRecord:
    """Returns the entry of a delivery before its event is applied."""
    content = delivery.content
    entry = EntryRecord(
        id=id,
        source=delivery.source,
        event_id=delivery.event_id,
        received_at=delivery.received_at,
        payload=delivery.body,
        status=SyncStatus.PENDING,
    )
    if isinstance(content, AnyEvent):
        entry.event_type = content.type.value
        return entry
    entry.event_type, entry.occurred_at = content.outline.type, content.outline.occurred_at
    entry.member_id, entry.organization_id = places.of(delivery.outline)
    if isinstance(content, RejectedError):
        mark = EntryMark.CONFLICT if delivery.conflict else None
        return replace(entry, status=SyncStatus.REJECTED, detail=str(content), mark=mark)
    if isinstance(content, RowMessage):
        return replace(entry, next_attempt_at=delivery.received_at)
    return replace(
        entry,
        status=SyncStatus.SKIPPED,
        outcome=SyncOutcome.IGNORED,
        processed_at=datetime.now(UTC),
        detail=remarks.unknown_type(content.type),
    )


async def _apply_and_insert(
    session: WriteSession,
    new: Sequence[tuple[EntryRecord, Delivery]],
    reading: Reading | None,
) -> None:
    now = datetime.now(UTC)
    brought_by = {entry.id: delivery for entry, delivery in new}
    events = [
        (entry, received_event(entry, delivery.content))
        for entry, delivery in new
        if isinstance(delivery.content, AnyEvent)
    ]
    results = await attempt(session, events, now, reading=reading)
    for (entry, _), result in zip(events, results, strict=True):
        if brought_by[entry.id].trigger is AttemptTrigger.DELIVERY:
            _mark_if_overtaken(entry, result)
    follow_merges([entry for entry, _ in new], results)
    await insert_entries(session, [entry for entry, _ in new])
    by_id = {entry.id: result for (entry, _), result in zip(events, results, strict=True)}
    for entry, _ in new:
        session.append(change_of(entry, None, by_id.get(entry.id)))
    await insert_attempts(
        session,
        [
            attempt_record(entry, result, now, by.trigger, actor=by.actor, reason=by.reason)
            for (entry, _), result in zip(events, results, strict=True)
            # Of a delivery that was applied at once, the entry tells everything.
            if (by := brought_by[entry.id]).trigger is not AttemptTrigger.DELIVERY
            or result.status is SyncStatus.FAILED
        ],
    )


def _mark_if_overtaken(entry: EntryRecord, result: Result) -> None:
    """Marks a first delivery that a later statement had overtaken. What waited for a retry or a
    replay was overtaken here, which is no fault."""
    if result.beaten_at is not None and result.mark is None:
        entry.mark = EntryMark.OVERTAKEN
        remark = remarks.overtaken(result.beaten_at.isoformat())
        entry.detail = f"{entry.detail} {remark}" if entry.detail else remark


def _receipt(delivery: Delivery, recorded: Recorded, new: NewEntries) -> Receipt:
    entry = recorded[delivery.key][0] if delivery.key in recorded else new[delivery.key][0]
    return receipt_of(delivery, entry.status, entry.outcome, entry.detail)
