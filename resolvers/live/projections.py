"""Live changes: which of the feed's changes concern a subscriber, and how they look from there."""

from collections.abc import Awaitable, Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Generic, Protocol, TypeVar

import msgspec

from db.database import Database
from db.errors import CursorExpiredError
from db.feed.changes import Cursor, check_cursor, feed_head
from db.publication import CommittedChange
from db.queries.entries import EntryFilter
from db.queries.member_pages import MemberFilter
from db.queries.organizations import subtree
from db.queries.viewers import Viewer
from db.queries.visibility import Sight
from db.sessions import ReadSession
from db.tables.facts import EntryFacts, MemberFacts
from db.vocabulary import (
    AccessLevel,
    ChangeOperation,
    EntryId,
    MemberId,
    OrganizationId,
    Position,
)
from resolvers.live.batch import Batch
from resolvers.members import MemberView, MemberWants
from resolvers.sync_log import EntryView, EntryWants

V = TypeVar("V")


class EndReason(Enum):
    CURSOR_EXPIRED = "CURSOR_EXPIRED"
    SLOW_CONSUMER = "SLOW_CONSUMER"
    ACCESS_CHANGED = "ACCESS_CHANGED"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    cursor: Cursor
    server_time: datetime


@dataclass(frozen=True, slots=True)
class Resync:
    """The last message: the stream cannot go on from the cursor."""

    cursor: Cursor
    reason: EndReason


@dataclass(frozen=True, slots=True)
class Notice(Generic[V]):
    """One change. `view` is as things are now; None when out of sight by now."""

    cursor: Cursor
    operation: ChangeOperation
    row_id: int
    view: V | None
    occurred_at: datetime


class Lens(Protocol[V]):
    """What a stream looks at: which changes concern it, and how to load what they are about.

    Equal lenses show the same, to whomever they belong.
    """

    @property
    def only_member(self) -> MemberId | None:
        """Nobody else's changes can concern it; None: anybody's may."""

    @property
    def tells_of_access(self) -> bool:
        """It is there to tell that access has changed, and does not end by it."""

    def operation(self, change: CommittedChange) -> tuple[int, ChangeOperation] | None: ...

    @property
    def place(self) -> "Place | None":
        """What it is restricted to."""

    async def views(self, batch: Batch, ids: Collection[int]) -> dict[int, V]: ...


@dataclass(frozen=True, slots=True)
class Place:
    """One organization, and those below it when it was looked up."""

    database: Database
    root: OrganizationId
    below: frozenset[OrganizationId]

    async def is_the_same(self) -> bool:
        async with self.database.read() as session:
            return await subtree(session, [self.root]) == self.below

    def __hash__(self) -> int:
        return hash(self.root)


@dataclass(frozen=True, slots=True)
class MemberLens:
    sight: Sight
    filter: MemberFilter
    wants: MemberWants
    place: Place | None = None

    @property
    def only_member(self) -> MemberId | None:
        wide = self.sight.everything or self.sight.coordinated
        return None if wide else self.sight.member_id

    @property
    def tells_of_access(self) -> bool:
        return False

    def operation(self, change: CommittedChange) -> tuple[int, ChangeOperation] | None:
        if change.member_id is None:
            return None
        before = self._shows(change.member_id, change.facts.member_before)
        after = self._shows(change.member_id, change.facts.member_after)
        operation = _seen(before, after)
        return None if operation is None else (change.member_id, operation)

    def _shows(self, member_id: MemberId, facts: MemberFacts | None) -> bool:
        return (
            facts is not None
            and self.sight.sees_member(member_id, facts.organization_ids)
            and self.filter.matches(facts)
        )

    async def views(self, batch: Batch, ids: Collection[int]) -> dict[int, MemberView]:
        members = await batch.members(self.wants)
        found = {id: members.get(MemberId(id)) for id in ids}
        return {id: view for id, view in found.items() if view and view.is_seen_by(self.sight)}


@dataclass(frozen=True, slots=True)
class EntryLens:
    sight: Sight
    filter: EntryFilter
    wants: EntryWants
    place: Place | None = None

    @property
    def only_member(self) -> MemberId | None:
        return None

    @property
    def tells_of_access(self) -> bool:
        return False

    def operation(self, change: CommittedChange) -> tuple[int, ChangeOperation] | None:
        if change.entry_id is None:
            return None
        before = self._shows(change.facts.entry_before)
        operation = _seen(before, self._shows(change.facts.entry_after))
        return None if operation is None else (change.entry_id, operation)

    def _shows(self, facts: EntryFacts | None) -> bool:
        return (
            facts is not None
            and self.sight.sees_entry(facts.organization_id)
            and self.filter.matches(facts)
        )

    async def views(self, batch: Batch, ids: Collection[int]) -> dict[int, EntryView]:
        entries = await batch.entries(self.wants)
        found = {id: entries.get(EntryId(id)) for id in ids}
        return {id: self._seen(view) for id, view in found.items() if view and self._sees(view)}

    def _sees(self, view: EntryView) -> bool:
        return self.sight.sees_entry(view.row.organization_id)

    def _seen(self, view: EntryView) -> EntryView:
        if view.member is None or view.member.is_seen_by(self.sight):
            return view
        return msgspec.structs.replace(view, member=None)


NOBODY = MemberId(0)


@dataclass(frozen=True, slots=True)
class ViewerLens:
    """Every change that may have moved what the viewer may do, and the viewer as they then are.

    `owner` says whose it is: a lens like this is never shared between credentials. `viewer_now`
    raises when the viewer may no longer be served at all.
    """

    owner: Hashable
    member_id: MemberId | None
    viewer_now: Callable[[], Awaitable[Viewer]] = field(compare=False)

    @property
    def only_member(self) -> MemberId | None:
        return self.member_id or NOBODY

    @property
    def place(self) -> None:
        return None

    @property
    def tells_of_access(self) -> bool:
        return True

    def operation(self, change: CommittedChange) -> tuple[int, ChangeOperation] | None:
        mine = change.member_id is not None and change.member_id == self.member_id
        return (0, ChangeOperation.UPDATED) if mine or change.access_changed else None

    async def views(self, batch: Batch, ids: Collection[int]) -> dict[int, Viewer]:
        return dict.fromkeys(ids, await batch.once(self.owner, self.viewer_now))


@dataclass(frozen=True, slots=True)
class Watch:
    """How a stream keeps an eye on one of its viewers, who may lose sight while it runs.

    `opened_at` was the last position when the viewer was looked up. `viewer_now` raises when the
    viewer may no longer be served at all; for the same `owner` it tells the same.
    """

    owner: Hashable
    viewer: Viewer
    opened_at: Position
    viewer_now: Callable[[], Awaitable[Viewer]]

    @property
    def member_id(self) -> MemberId | None:
        return None if self.viewer.member is None else self.viewer.member.id

    async def still_the_same(self, batch: Batch, change: CommittedChange, lens: Lens[V]) -> bool:
        """Whether the viewer sees after this change what they saw before it."""
        if change.facts.catalogue_changed:
            return False
        mine = change.member_id is not None and change.member_id == self.member_id
        if not (change.access_changed or mine):
            return True
        if change.position <= self.opened_at:
            # All was looked up after it, so only the change itself can tell.
            moved = self.viewer.sight.coordinated or lens.place is not None
            return not (saw_others(change) if mine else moved)
        place = lens.place
        if place is not None and not await batch.once(place, place.is_the_same):
            return False
        now = await batch.once(self.owner, self.viewer_now)
        return now.sight == self.viewer.sight


def saw_others(change: CommittedChange) -> bool:
    """Before the change or after it; then its member's roles decide whom they see."""
    sides = (change.facts.member_before, change.facts.member_after)
    return any(side and side.access_level >= AccessLevel.COORDINATOR for side in sides)


@dataclass(frozen=True, slots=True)
class Opening:
    """Where a stream begins: `at`, when the feed had come to `head` and the viewer was this one.

    `expired`: not all of what lies between is kept.
    """

    viewer: Viewer
    at: Cursor
    head: Cursor
    expired: bool = False


async def opened(session: ReadSession, viewer: Viewer, after: Cursor | None) -> Opening:
    """Raises ForeignCursorError for a cursor of another feed. The session is of one moment, at
    which the viewer was looked up."""
    head = await feed_head(session)
    if after is None:
        return Opening(viewer, head, head)
    try:
        await check_cursor(session, after)
    except CursorExpiredError:
        return Opening(viewer, after, head, expired=True)
    return Opening(viewer, after, head)


async def notices(
    lens: Lens[V], batch: Batch, changes: Sequence[CommittedChange], feed_id: str
) -> dict[Position, Notice[V]]:
    """What the lens shows of the changes, by position."""
    shown = [
        (change, *concerned)
        for change in changes
        if (concerned := lens.operation(change)) is not None
    ]
    views = await lens.views(batch, {row_id for _, row_id, _ in shown}) if shown else {}
    return {
        change.position: Notice(
            Cursor(feed_id, change.position),
            operation,
            row_id,
            None if operation is ChangeOperation.REMOVED else views.get(row_id),
            change.committed_at,
        )
        for change, row_id, operation in shown
    }


def _seen(before: bool, after: bool) -> ChangeOperation | None:
    """What a change is to somebody who saw the thing before it, after it, or neither."""
    if before and after:
        return ChangeOperation.UPDATED
    if after:
        return ChangeOperation.ADDED
    return ChangeOperation.REMOVED if before else None
