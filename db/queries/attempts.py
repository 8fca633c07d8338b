"""Recorded events that are tried again: which are due, whose turn it is, and what was tried."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update

from db.driver.any_of import any_of
from db.queries.entries import ENTRY_COLUMNS, EntryFilter, EntryRecord
from db.queries.visibility import Sight, sight_values, visible_entries
from db.sessions import ReadSession, WriteSession
from db.tables.models import SyncAttempt, SyncLogEntry
from db.vocabulary import AttemptTrigger, EntryId, SyncOutcome, SyncStatus

# An entry that is due is in one of these.
RETRIED = (SyncStatus.PENDING, SyncStatus.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    entry_id: EntryId
    attempted_at: datetime
    trigger: AttemptTrigger
    status: SyncStatus
    outcome: SyncOutcome | None = None
    detail: str | None = None
    actor: str | None = None
    reason: str | None = None


async def next_due(session: ReadSession) -> datetime | None:
    """When the next attempt is due; None when nothing waits for one."""
    statement = select(func.min(SyncLogEntry.next_attempt_at)).where(
        SyncLogEntry.next_attempt_at.is_not(None)
    )
    return await session.scalar(statement)


async def lease_due(
    session: WriteSession, now: datetime, until: datetime, limit: int
) -> list[EntryId]:
    """Takes due entries, each for one worker: nobody else finds them due before `until`, when
    they fall back to all by themselves, should this worker not come back."""
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


_RECORD = (*ENTRY_COLUMNS, SyncLogEntry.payload)


async def leased_entries(
    session: WriteSession, ids: Collection[EntryId], until: datetime
) -> list[EntryRecord]:
    """Those of them that are still this worker's, locked until commit."""
    statement = select(*_RECORD).where(
        any_of(SyncLogEntry.id, ids),
        SyncLogEntry.next_attempt_at == until,
        SyncLogEntry.status.in_(RETRIED),
    )
    rows = await session.all(statement.order_by(SyncLogEntry.event_id).with_for_update())
    return [_record(row) for row in rows]


async def entries_to_replay(session: WriteSession, ids: Collection[EntryId]) -> list[EntryRecord]:
    """In the order they came, locked until commit."""
    statement = select(*_RECORD).where(any_of(SyncLogEntry.id, ids))
    rows = await session.all(statement.order_by(SyncLogEntry.id).with_for_update())
    return [_record(row) for row in rows]


async def matching_entry_ids(
    session: ReadSession,
    sight: Sight,
    filter: EntryFilter,
    *,
    limit: int,
    ids: Collection[EntryId] | None = None,
) -> list[EntryId]:
    """Oldest first; only those that the sight shows."""
    statement = select(SyncLogEntry.id).where(visible_entries(sight), filter.condition())
    if ids is not None:
        statement = statement.where(any_of(SyncLogEntry.id, ids))
    parameters = sight_values(sight) | filter.parameters()
    rows = await session.all(statement.order_by(SyncLogEntry.id).limit(limit), parameters)
    return [EntryId(row[0]) for row in rows]


def _record(row: Sequence[Any]) -> EntryRecord:
    names = [column.key for column in _RECORD]
    return EntryRecord(**dict(zip(names, row, strict=True)))


async def update_entries(session: WriteSession, entries: Sequence[EntryRecord]) -> None:
    """Writes what an attempt may change; the event itself stays as it came."""
    await session.update(
        SyncLogEntry,
        [
            {
                "row_id": entry.id,
                "event_type": entry.event_type,
                "occurred_at": entry.occurred_at,
                "processed_at": entry.processed_at,
                "status": entry.status,
                "outcome": entry.outcome,
                "detail": entry.detail,
                "attempts": entry.attempts,
                "next_attempt_at": entry.next_attempt_at,
                "member_id": entry.member_id,
                "organization_id": entry.organization_id,
                "field_changes": entry.field_changes,
            }
            for entry in entries
        ],
    )


async def insert_attempts(session: WriteSession, attempts: Sequence[Attempt]) -> None:
    await session.insert(
        SyncAttempt,
        [
            {
                "entry_id": attempt.entry_id,
                "attempted_at": attempt.attempted_at,
                "trigger": attempt.trigger,
                "actor": attempt.actor,
                "reason": attempt.reason,
                "status": attempt.status,
                "outcome": attempt.outcome,
                "detail": attempt.detail,
            }
            for attempt in attempts
        ],
    )


async def attempts_of(
    session: ReadSession, entry_ids: Collection[EntryId]
) -> dict[EntryId, list[Attempt]]:
    """The recorded attempts of each entry, the first one first."""
    found: dict[EntryId, list[Attempt]] = {id: [] for id in entry_ids}
    rows: Sequence[Any] = await session.all(
        select(
            SyncAttempt.entry_id,
            SyncAttempt.attempted_at,
            SyncAttempt.trigger,
            SyncAttempt.actor,
            SyncAttempt.reason,
            SyncAttempt.status,
            SyncAttempt.outcome,
            SyncAttempt.detail,
        )
        .where(any_of(SyncAttempt.entry_id, entry_ids))
        .order_by(SyncAttempt.id)
    )
    for row in rows:
        found[EntryId(row.entry_id)].append(Attempt(**row._asdict()))
    return found
