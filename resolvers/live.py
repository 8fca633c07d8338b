"""Live changes for one subscriber: what it may see of the feed, in order, as seen from its side."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from time import monotonic
from typing import Generic, Protocol, TypeVar

from db.changes import CommittedChange, Cursor, check_cursor, feed_head
from db.errors import CursorExpiredError, SlowConsumerError
from db.feed import LiveFeed
from db.member_pages import MemberFilter
from db.models import EntryFacts, MemberFacts
from db.sync_log import EntryFilter
from db.unit_of_work import Database
from db.viewers import Viewer
from db.visibility import Scope
from db.vocabulary import AccessLevel, ChangeOperation, EntryId, MemberId, Position
from resolvers.members import MemberView, MemberWants, member_views
from resolvers.sync_log import EntryView, EntryWants, entry_views

HEARTBEAT_SECONDS = 15.0

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
    """What a stream looks at: which changes concern it, and how to load what they are about."""

    def operation(self, change: CommittedChange) -> tuple[int, ChangeOperation] | None: ...

    async def views(self, ids: Sequence[int]) -> dict[int, V]: ...


@dataclass(frozen=True, slots=True)
class Watch:
    """How a stream keeps an eye on its own viewer, who may lose sight while it runs.

    `viewer_now` raises when the viewer may no longer be served at all.
    """

    viewer: Viewer
    viewer_now: Callable[[], Awaitable[Viewer]]

    async def still_the_same(self, change: CommittedChange, head: Position) -> bool:
        """Whether the viewer still sees what they saw at the place where the stream began; `head`
        was the last position when it was opened."""
        if change.facts.catalogue_changed:
            return False
        mine = self.viewer.member is not None and change.member_id == self.viewer.member.id
        if not (change.access_changed or mine):
            return True
        if change.position <= head:
            # The viewer was looked up after it, so only the change itself can tell.
            return not (self._saw_others(change) if mine else self.viewer.scope.coordinated)
        return (await self.viewer_now()).scope == self.viewer.scope

    def _saw_others(self, change: CommittedChange) -> bool:
        """Before the change or after it: then their roles decide whom they see."""
        sides = (change.facts.member_before, change.facts.member_after)
        return any(side and side.access_level >= AccessLevel.COORDINATOR for side in sides)


async def stream(
    database: Database,
    feed: LiveFeed,
    lens: Lens[V],
    after: Cursor | None,
    watch: Watch | None = None,
) -> AsyncIterator[Heartbeat | Resync | Notice[V]]:
    """A heartbeat first, then every change the lens shows, once and in order; a heartbeat when
    nothing was sent for a while. Raises ForeignCursorError for a cursor of another feed."""
    head, expired = await _head(database, after)
    if expired:
        yield Resync(head, EndReason.CURSOR_EXPIRED)
        return
    at = after or head
    if watch is not None and (await watch.viewer_now()).scope != watch.viewer.scope:
        # It changed between the look at the viewer and the look at the feed.
        yield Resync(at, EndReason.ACCESS_CHANGED)
        return
    yield Heartbeat(at, datetime.now(UTC))
    next_heartbeat = monotonic() + HEARTBEAT_SECONDS
    async with feed.follow(at.position) as follower:
        while True:
            try:
                changes = await follower.next_changes(max(next_heartbeat - monotonic(), 0))
            except SlowConsumerError:
                yield Resync(at, EndReason.SLOW_CONSUMER)
                return
            seen = await _up_to_a_loss_of_sight(changes, head.position, watch)
            notices = await _notices(seen, at.feed_id, lens)
            for notice in notices:
                yield notice
            if seen:
                at = Cursor(at.feed_id, seen[-1].position)
            if len(seen) < len(changes):
                yield Resync(at, EndReason.ACCESS_CHANGED)
                return
            due = monotonic() >= next_heartbeat
            if due and not notices:
                yield Heartbeat(at, datetime.now(UTC))
            if due or notices:
                next_heartbeat = monotonic() + HEARTBEAT_SECONDS


async def _up_to_a_loss_of_sight(
    changes: Sequence[CommittedChange], head: Position, watch: Watch | None
) -> Sequence[CommittedChange]:
    """Shorter than what was given when the viewer's sight changed on the way."""
    if watch is not None:
        for index, change in enumerate(changes):
            if not await watch.still_the_same(change, head):
                return changes[:index]
    return changes


async def _notices(
    changes: Sequence[CommittedChange], feed_id: str, lens: Lens[V]
) -> list[Notice[V]]:
    shown = [
        (change, *concerned)
        for change in changes
        if (concerned := lens.operation(change)) is not None
    ]
    views = await lens.views([row_id for _, row_id, _ in shown]) if shown else {}
    return [
        Notice(
            Cursor(feed_id, change.position),
            operation,
            row_id,
            None if operation is ChangeOperation.REMOVED else views.get(row_id),
            change.committed_at,
        )
        for change, row_id, operation in shown
    ]


async def _head(database: Database, after: Cursor | None) -> tuple[Cursor, bool]:
    """The end of the feed, and whether changes between the cursor and it are no longer kept."""
    async with database.read(snapshot=True) as session:
        head = await feed_head(session)
        try:
            if after is not None:
                await check_cursor(session, after)
        except CursorExpiredError:
            return head, True
    return head, False


def _seen(before: bool, after: bool) -> ChangeOperation | None:
    """What a change is to somebody who saw the thing before it, after it, or neither."""
    if before and after:
        return ChangeOperation.UPDATED
    if after:
        return ChangeOperation.ADDED
    return ChangeOperation.REMOVED if before else None


@dataclass(frozen=True, slots=True)
class MemberLens:
    database: Database
    scope: Scope
    filter: MemberFilter
    wants: MemberWants

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
            and self.scope.sees_member(member_id, facts)
            and self.filter.matches(facts)
        )

    async def views(self, ids: Sequence[int]) -> dict[int, MemberView]:
        async with self.database.read() as session:
            found = await member_views(
                session, self.scope, {MemberId(id) for id in ids}, self.wants
            )
        return {int(id): view for id, view in found.items()}


@dataclass(frozen=True, slots=True)
class EntryLens:
    database: Database
    scope: Scope
    filter: EntryFilter
    wants: EntryWants

    def operation(self, change: CommittedChange) -> tuple[int, ChangeOperation] | None:
        if change.entry_id is None:
            return None
        before = self._shows(change.facts.entry_before)
        operation = _seen(before, self._shows(change.facts.entry_after))
        return None if operation is None else (change.entry_id, operation)

    def _shows(self, facts: EntryFacts | None) -> bool:
        return facts is not None and self.scope.sees_entry(facts) and self.filter.matches(facts)

    async def views(self, ids: Sequence[int]) -> dict[int, EntryView]:
        async with self.database.read() as session:
            found = await entry_views(session, self.scope, {EntryId(id) for id in ids}, self.wants)
        return {int(id): view for id, view in found.items()}


@dataclass(frozen=True, slots=True)
class ViewerLens:
    """Every change that may have moved what the viewer may do, and the viewer as they then are.

    `viewer_now` raises when the viewer may no longer be served at all.
    """

    viewer: Viewer
    viewer_now: Callable[[], Awaitable[Viewer]]

    def operation(self, change: CommittedChange) -> tuple[int, ChangeOperation] | None:
        mine = self.viewer.member is not None and change.member_id == self.viewer.member.id
        return (0, ChangeOperation.UPDATED) if mine or change.access_changed else None

    async def views(self, ids: Sequence[int]) -> dict[int, Viewer]:
        return dict.fromkeys(ids, await self.viewer_now())
