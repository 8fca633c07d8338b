"""The log entries that a concern is about."""

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, bindparam, case, func, or_, select
from sqlalchemy.sql.elements import BindParameter

from db.driver.statements.column_types import Instant
from db.driver.statements.statement_cache import in_literals
from db.queries.log.concern_records import ConcernKey
from db.queries.log.entries import has_status
from db.queries.log.source_activity import WAS_DELIVERED
from db.sessions import ReadSession
from db.tables.models import IS_OPEN, IS_TELLING, SyncLogEntry
from db.vocabulary import ConcernKind, EntryMark, SyncOutcome, SyncStatus

_REJECTED = has_status((SyncStatus.REJECTED,))
# Also of a type that is unknown here, such as `member.deactivated-by-board`.
_IS_DEACTIVATION = func.lower(func.coalesce(SyncLogEntry.event_type, "")).contains("deactivat")


def _has_outcome(outcome: SyncOutcome) -> ColumnElement[bool]:
    """SQLite uses the index of these outcomes only if its condition stands in the statement."""
    return and_(in_literals(SyncLogEntry.outcome, (outcome,)), IS_TELLING)


_IGNORED = _has_outcome(SyncOutcome.IGNORED)
_CONDITIONS: dict[ConcernKind, ColumnElement[bool]] = {
    ConcernKind.REFUSED_DEACTIVATION: and_(or_(_REJECTED, _IGNORED), _IS_DEACTIVATION),
    ConcernKind.REJECTIONS: and_(_REJECTED, ~_IS_DEACTIVATION),
    ConcernKind.UNKNOWN_TYPES: and_(_IGNORED, ~_IS_DEACTIVATION),
    ConcernKind.WAITING: has_status((SyncStatus.PENDING, SyncStatus.FAILED)),
    ConcernKind.DEAD: has_status((SyncStatus.DEAD,)),
    ConcernKind.OVERTAKEN: in_literals(SyncLogEntry.mark, (EntryMark.OVERTAKEN, EntryMark.TIED)),
    ConcernKind.MASS_DEACTIVATION: and_(_has_outcome(SyncOutcome.DEACTIVATED), WAS_DELIVERED),
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
        source: BindParameter[str] = bindparam("concern_source", type_=Text())
        conditions = [_CONDITIONS[self.kind], SyncLogEntry.source == source]
        if self.since is not None:
            after: BindParameter[Any] = bindparam("concern_since", type_=Instant())
            conditions.append(SyncLogEntry.received_at > after)
        return and_(*conditions)

    def shape(self) -> Hashable:
        return self.kind, self.since is not None

    def parameters(self) -> dict[str, Any]:
        found: dict[str, Any] = {"concern_source": self.source}
        return found if self.since is None else {**found, "concern_since": self.since}


@dataclass(frozen=True, slots=True)
class Extent:
    """The number of entries, and when the oldest of them came."""

    count: int
    oldest: datetime | None

    def with_more(self, count: int, oldest: datetime) -> "Extent":
        known = self.oldest or oldest
        return Extent(self.count + count, min(known, oldest))


_EXTENT = (func.count(), func.min(SyncLogEntry.received_at))
_REFUSED = ConcernKind.REFUSED_DEACTIVATION.value


async def extents_of_unsettled(session: ReadSession) -> dict[ConcernKey, Extent]:
    """Returns the extents of what is rejected, ignored, waiting or dead, however old it is."""
    status = SyncLogEntry.status
    open_kind = case(
        (and_(status == SyncStatus.REJECTED, _IS_DEACTIVATION), _REFUSED),
        (status == SyncStatus.REJECTED, ConcernKind.REJECTIONS.value),
        (status == SyncStatus.DEAD, ConcernKind.DEAD.value),
        else_=ConcernKind.WAITING.value,
    )
    ignored_kind = case((_IS_DEACTIVATION, _REFUSED), else_=ConcernKind.UNKNOWN_TYPES.value)
    found: dict[ConcernKey, Extent] = {}
    for kind, condition in ((open_kind, IS_OPEN), (ignored_kind, _IGNORED)):
        rows = await session.all(
            select(kind, SyncLogEntry.source, *_EXTENT)
            .where(condition)
            .group_by(kind, SyncLogEntry.source)
        )
        for name, source, count, oldest in rows:
            key = ConcernKey(ConcernKind(name), source)
            known = found.get(key)
            found[key] = Extent(count, oldest) if known is None else known.with_more(count, oldest)
    return found


async def extents_since(
    session: ReadSession, kind: ConcernKind, since: datetime
) -> dict[str, Extent]:
    """Returns the extent of each source that has such entries, received after this time."""
    rows = await session.all(
        select(SyncLogEntry.source, *_EXTENT)
        .where(_CONDITIONS[kind], SyncLogEntry.received_at > since)
        .group_by(SyncLogEntry.source)
    )
    return {source: Extent(count, oldest) for source, count, oldest in rows}


async def extent_of(session: ReadSession, entries: ConcernEntries) -> Extent:
    found = await session.first(
        select(*_EXTENT).where(entries.condition()),
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
