"""Log entries whose bodies and values are kept no longer."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, func, select, update

from db.driver.statements.any_of import any_of
from db.queries.rows import columns_of
from db.sessions import ReadSession, WriteSession
from db.tables.facts import FieldChange
from db.tables.models import SyncAttempt, SyncLogEntry
from db.vocabulary import EntryId, SyncStatus

_APPLIED = (SyncStatus.SUCCESS, SyncStatus.SKIPPED)
_REFUSED = (SyncStatus.DEAD, SyncStatus.REJECTED)


class ExpiredBody(msgspec.Struct):
    """An entry whose values go."""

    id: EntryId
    payload: bytes
    detail: str | None
    field_changes: list[FieldChange]


class BodyLimits(msgspec.Struct, frozen=True):
    """Bodies go of events that were applied, or were refused, no later than this."""

    applied: datetime
    refused: datetime


def _conditions(limits: BodyLimits) -> list[list[ColumnElement[bool]]]:
    there = SyncLogEntry.body_removed_at.is_(None)
    return [
        [
            there,
            SyncLogEntry.status.in_(_APPLIED),
            # Nothing is applied before it is received; this is the column of the index.
            SyncLogEntry.received_at <= limits.applied,
            SyncLogEntry.processed_at <= limits.applied,
        ],
        [there, SyncLogEntry.status.in_(_REFUSED), SyncLogEntry.received_at <= limits.refused],
    ]


async def count_expired_bodies(session: ReadSession, limits: BodyLimits) -> int:
    count = 0
    for conditions in _conditions(limits):
        count += await session.scalar(select(func.count(SyncLogEntry.id)).where(*conditions)) or 0
    return count


async def expired_bodies(session: WriteSession, limits: BodyLimits, size: int) -> list[ExpiredBody]:
    """Returns the oldest of them, locked until commit, without those that others are writing."""
    found: list[ExpiredBody] = []
    for conditions in _conditions(limits):
        statement = (
            select(*columns_of(ExpiredBody, SyncLogEntry))
            .where(*conditions)
            .order_by(SyncLogEntry.received_at)
            .limit(size - len(found))
            .with_for_update(skip_locked=True)
        )
        found += [ExpiredBody(*row) for row in await session.all(statement)]
        if len(found) == size:
            break
    return found


async def save_without_values(
    session: WriteSession, entries: Sequence[ExpiredBody], now: datetime
) -> None:
    """Saves what is kept of these entries; what people wrote about their attempts goes, too."""
    rows = [
        {
            "row_id": entry.id,
            "payload": entry.payload,
            "detail": entry.detail,
            "field_changes": entry.field_changes,
            "body_removed_at": now,
        }
        for entry in entries
    ]
    await session.update(SyncLogEntry, rows)
    await session.run(
        update(SyncAttempt)
        .where(any_of(SyncAttempt.entry_id, [entry.id for entry in entries]))
        .values(reason=None, detail=None)
    )
