"""The log entries that a concern is about."""

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, bindparam, func, or_, select
from sqlalchemy.sql.elements import BindParameter

from db.driver.statements.column_types import Instant
from db.driver.statements.statement_cache import in_literals
from db.queries.log.entries import has_status
from db.queries.log.source_activity import WAS_DELIVERED
from db.sessions import ReadSession
from db.tables.models import SyncLogEntry
from db.vocabulary import ConcernKind, EntryMark, SyncOutcome, SyncStatus

_REJECTED = has_status((SyncStatus.REJECTED,))
_IGNORED = in_literals(SyncLogEntry.outcome, (SyncOutcome.IGNORED,))
_DEACTIVATED = in_literals(SyncLogEntry.outcome, (SyncOutcome.DEACTIVATED,))
# Also of a type that is unknown here, such as `member.deactivated-by-board`.
_IS_DEACTIVATION = func.lower(func.coalesce(SyncLogEntry.event_type, "")).contains("deactivat")

_CONDITIONS: dict[ConcernKind, ColumnElement[bool]] = {
    ConcernKind.REFUSED_DEACTIVATION: and_(or_(_REJECTED, _IGNORED), _IS_DEACTIVATION),
    ConcernKind.REJECTIONS: and_(_REJECTED, ~_IS_DEACTIVATION),
    ConcernKind.UNKNOWN_TYPES: and_(_IGNORED, ~_IS_DEACTIVATION),
    ConcernKind.WAITING: has_status((SyncStatus.PENDING, SyncStatus.FAILED)),
    ConcernKind.DEAD: has_status((SyncStatus.DEAD,)),
    ConcernKind.OVERTAKEN: in_literals(SyncLogEntry.mark, (EntryMark.OVERTAKEN, EntryMark.TIED)),
    ConcernKind.MASS_DEACTIVATION: and_(_DEACTIVATED, WAS_DELIVERED),
}
KINDS_OF_ENTRIES = frozenset(_CONDITIONS)
"""The kinds of concerns that are about log entries."""


@dataclass(frozen=True, slots=True)
class ConcernEntries:
    """Selects the entries of a concern: of one source, received after `since` if it is given."""

    kind: ConcernKind
    source: str
    since: datetime | None = None

    def condition(self) -> ColumnElement[bool]:
        conditions = [_CONDITIONS[self.kind], SyncLogEntry.source == _parameter("concern_source")]
        if self.since is not None:
            after: BindParameter[Any] = bindparam("concern_since", type_=Instant())
            conditions.append(SyncLogEntry.received_at > after)
        return and_(*conditions)

    def shape(self) -> Hashable:
        return self.kind, self.since is not None

    def parameters(self) -> dict[str, Any]:
        found: dict[str, Any] = {"concern_source": self.source}
        return found if self.since is None else {**found, "concern_since": self.since}


def _parameter(name: str) -> BindParameter[str]:
    return bindparam(name, type_=Text())


@dataclass(frozen=True, slots=True)
class Extent:
    """The number of entries, and when the oldest of them came."""

    count: int
    oldest: datetime | None


async def extents_by_source(
    session: ReadSession, kind: ConcernKind, since: datetime | None = None
) -> dict[str, Extent]:
    """Returns the extent of each source that has such entries."""
    statement = (
        select(SyncLogEntry.source, func.count(), func.min(SyncLogEntry.received_at))
        .where(_CONDITIONS[kind])
        .group_by(SyncLogEntry.source)
    )
    if since is not None:
        statement = statement.where(SyncLogEntry.received_at > since)
    return {source: Extent(count, oldest) for source, count, oldest in await session.all(statement)}


async def extent_of(session: ReadSession, entries: ConcernEntries) -> Extent:
    found = await session.first(
        select(func.count(), func.min(SyncLogEntry.received_at)).where(entries.condition()),
        entries.parameters(),
    )
    return Extent(*found) if found else Extent(0, None)


async def times_of(session: ReadSession, entries: ConcernEntries, *, most: int) -> list[datetime]:
    """Returns when these entries came, the newest first, `most` at most."""
    newest_first = SyncLogEntry.received_at.desc()
    rows = await session.all(
        select(SyncLogEntry.received_at)
        .where(entries.condition())
        .order_by(newest_first)
        .limit(most),
        entries.parameters(),
    )
    return [row[0] for row in rows]


async def types_of(session: ReadSession, entries: ConcernEntries, *, most: int) -> list[str]:
    """Returns the types of these entries, the most frequent first, `most` at most."""
    rows = await session.all(
        select(SyncLogEntry.event_type)
        .where(entries.condition(), SyncLogEntry.event_type.is_not(None))
        .group_by(SyncLogEntry.event_type)
        .order_by(func.count().desc(), SyncLogEntry.event_type)
        .limit(most),
        entries.parameters(),
    )
    return [type for (type,) in rows if type is not None]
