"""Comparisons that people have asked for, until they are done: at most one of a source."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, insert, select

from db.sessions import ReadSession, WriteSession
from db.tables.models import ReconciliationRequest


class Requested(NamedTuple):
    """`whole`: the whole portal, not only what has changed in it."""

    id: int
    source: str
    whole: bool
    dry_run: bool
    requested_at: datetime


_COLUMNS = [getattr(ReconciliationRequest, name) for name in Requested._fields]


async def add_request(
    session: WriteSession, source: str, now: datetime, *, whole: bool, dry_run: bool
) -> None:
    """Adds a request. ConcurrentWriteError means that somebody else asks for one of this source at
    this moment."""
    values = {"source": source, "whole": whole, "dry_run": dry_run, "requested_at": now}
    await session.run(insert(ReconciliationRequest).values(values))


async def requests_of(session: ReadSession, sources: Collection[str]) -> dict[str, Requested]:
    """Returns what is asked for and not done yet, by source."""
    rows = await session.all(select(*_COLUMNS).where(ReconciliationRequest.source.in_(sources)))
    return {row.source: Requested(*row) for row in rows}


async def end_request(session: WriteSession, request: Requested) -> None:
    await session.run(delete(ReconciliationRequest).where(ReconciliationRequest.id == request.id))
