"""Concerns as they are remembered: since when each stands, and who has acknowledged it."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, insert, select, tuple_, update

from db.sessions import ReadSession, WriteSession
from db.tables.models import ConcernRow
from db.vocabulary import ConcernKind


class ConcernKey(NamedTuple):
    """What a concern is about. `source` is empty where it is about no source."""

    kind: ConcernKind
    source: str


class Acknowledgement(NamedTuple):
    """`extent` is the count of the concern when it was acknowledged."""

    at: datetime
    by: str
    extent: int


class RememberedConcern(NamedTuple):
    since: datetime
    acknowledgement: Acknowledgement | None


async def remembered_concerns(session: ReadSession) -> dict[ConcernKey, RememberedConcern]:
    row = ConcernRow
    rows = await session.all(
        select(
            row.kind,
            row.source,
            row.since,
            row.acknowledged_at,
            row.acknowledged_by,
            row.acknowledged_extent,
        )
    )
    return {
        ConcernKey(kind, source): RememberedConcern(
            since, None if at is None else Acknowledgement(at, by or "", extent or 0)
        )
        for kind, source, since, at, by, extent in rows
    }


async def remember_concerns(
    session: WriteSession, keys: Collection[ConcernKey], since: datetime
) -> None:
    """Raises ConcurrentWriteError if another process remembers one of them at this moment."""
    rows = [{"kind": kind, "source": source, "since": since} for kind, source in keys]
    if rows:
        await session.run(insert(ConcernRow), rows)


async def forget_concerns(session: WriteSession, keys: Collection[ConcernKey]) -> None:
    if keys:
        columns = tuple_(ConcernRow.kind, ConcernRow.source)
        await session.run(delete(ConcernRow).where(columns.in_(list(keys))))


async def save_acknowledgement(
    session: WriteSession, key: ConcernKey, since: datetime, given: Acknowledgement
) -> None:
    """Raises ConcurrentWriteError if another process remembers the concern at this moment."""
    values = {
        "acknowledged_at": given.at,
        "acknowledged_by": given.by,
        "acknowledged_extent": given.extent,
    }
    row = ConcernRow
    found = await session.run(
        update(row).where(row.kind == key.kind, row.source == key.source).values(values)
    )
    if not found.rowcount:
        await session.run(insert(row).values(**key._asdict(), since=since, **values))
