"""Attempts: which recorded events are due, which worker tries them, and what was tried."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import asdict
from sqlalchemy import func, select, update

from db.driver.statements.any_of import any_of
from db.queries.log.entries import EntryRecord, EntrySelection
from db.queries.members.visibility import Sight, sight_values, visible_entries
from db.queries.rows import columns_of
from db.sessions import ReadSession, WriteSession
from db.tables.models import SyncAttempt, SyncLogEntry
from db.vocabulary import AttemptTrigger, EntryId, EntryMark, SyncOutcome, SyncStatus

# The statuses of entries that can be due.
RETRIED = (SyncStatus.PENDING, SyncStatus.FAILED)


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to apply an event, as it is recorded."""

    entry_id: EntryId
    attempted_at: datetime
    trigger: AttemptTrigger
    status: SyncStatus
    outcome: SyncOutcome | None = None
    detail: str | None = None
    actor: str | None = None
    reason: str | None = None


async def next_due(session: ReadSession) -> datetime | None:
    """Returns when the next attempt is due; None when no entry waits for one."""
    statement = select(func.min(SyncLogEntry.next_attempt_at)).where(
        SyncLogEntry.next_attempt_at.is_not(None)
    )
    return await session.scalar(statement)


async def lease_due(
    session: WriteSession, now: datetime, until: datetime, limit: int
) -> list[EntryId]:
    """Leases due entries to one worker and returns their ids.

    No other worker finds them due before `until`. If this one does not come back, they are due
    again then.
    """
    due = (
        select(SyncLogEntry.id)
        .where(SyncLogEntry.next_attempt_at <= now, SyncLogEntry.status.in_(RETRIED))
        .order_by(SyncLogEntry.next_attempt_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = [EntryId(row[0]) for row in await session.all(due)]
    if ids:
        await session.run(
            update(SyncLogEntry).where(any_of(SyncLogEntry.id, ids)).values(next_attempt_at=until)
        )
    return ids


_RECORD = columns_of(EntryRecord, SyncLogEntry)
_ATTEMPT = columns_of(Attempt, SyncAttempt)


async def leased_entries(
    session: WriteSession, ids: Collection[EntryId], until: datetime
) -> list[EntryRecord]:
    """Returns those whose lease until this moment still holds, locked until commit."""
    statement = select(*_RECORD).where(
        any_of(SyncLogEntry.id, ids),
        SyncLogEntry.next_attempt_at == until,
        SyncLogEntry.status.in_(RETRIED),
    )
    rows = await session.all(statement.order_by(SyncLogEntry.event_id).with_for_update())
    return [_record(row) for row in rows]


async def entries_to_replay(session: WriteSession, ids: Collection[EntryId]) -> list[EntryRecord]:
    """Returns the entries in the order they were recorded, locked until commit."""
    statement = select(*_RECORD).where(any_of(SyncLogEntry.id, ids))
    rows = await session.all(statement.order_by(SyncLogEntry.id).with_for_update())
    return [_record(row) for row in rows]


async def matching_entry_ids(
    session: ReadSession,
    sight: Sight,
    filter: EntrySelection,
    *,
    limit: int,
    ids: Collection[EntryId] | None = None,
) -> list[EntryId]:
    """Returns the ids of matching entries within the sight, oldest first, `limit` at most."""
    statement = select(SyncLogEntry.id).where(visible_entries(sight), filter.condition())
    if ids is None:
        # What has a taken event id says something else than what was applied under that id.
        statement = statement.where(SyncLogEntry.mark.is_distinct_from(EntryMark.CONFLICT))
    else:
        statement = statement.where(any_of(SyncLogEntry.id, ids))
    parameters = sight_values(sight) | filter.parameters()
    rows = await session.all(statement.order_by(SyncLogEntry.id).limit(limit), parameters)
    return [EntryId(row[0]) for row in rows]


def _record(row: Sequence[Any]) -> EntryRecord:
    return EntryRecord(**dict(zip(EntryRecord.__struct_fields__, row, strict=True)))


_CHANGED_BY_ATTEMPTS = (
    "mark",
    "event_type",
    "occurred_at",
    "processed_at",
    "status",
    "outcome",
    "detail",
    "attempts",
    "next_attempt_at",
    "member_id",
    "organization_id",
    "field_changes",
)


async def update_entries(session: WriteSession, entries: Sequence[EntryRecord]) -> None:
    """Writes the columns that an attempt may change."""
    rows = [
        {"row_id": entry.id, **{name: getattr(entry, name) for name in _CHANGED_BY_ATTEMPTS}}
        for entry in entries
    ]
    await session.update(SyncLogEntry, rows)


async def save_payloads(session: WriteSession, bodies: Mapping[EntryId, bytes]) -> None:
    """Writes what was read for messages that only point at a row."""
    rows = [{"row_id": id, "payload": body} for id, body in bodies.items()]
    await session.update(SyncLogEntry, rows)


async def insert_attempts(session: WriteSession, attempts: Sequence[Attempt]) -> None:
    await session.insert(SyncAttempt, [asdict(attempt) for attempt in attempts])


async def attempts_of(
    session: ReadSession, entry_ids: Collection[EntryId]
) -> dict[EntryId, list[Attempt]]:
    """Returns the recorded attempts of each entry, in the order they were made."""
    found: dict[EntryId, list[Attempt]] = {id: [] for id in entry_ids}
    rows: Sequence[Any] = await session.all(
        select(*_ATTEMPT).where(any_of(SyncAttempt.entry_id, entry_ids)).order_by(SyncAttempt.id)
    )
    for row in rows:
        attempt = Attempt(**row._asdict())
        found[attempt.entry_id].append(attempt)
    return found
