"""Pages of the changes of members, for those who were away: what a stream after the same cursor
would send, read at once. Those who see the same are given the same page."""

import asyncio
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Self

from db.database import Database
from db.feed.change_feed import BATCH, LiveFeed
from db.feed.changes import Cursor, changes_after
from db.publication import CommittedChange
from db.queries.members.member_pages import MemberFilter
from db.queries.members.visibility import Sight
from db.vocabulary import MemberId, Position
from resolvers.live.change_batch import ChangeBatch
from resolvers.live.projections import MemberProjection, change_messages
from resolvers.live.shared_stream import HIDDEN_CHANGES
from resolvers.live.stream_messages import ChangeMessage, ResyncReason
from resolvers.live.stream_start import StreamStart
from resolvers.live.viewer_check import was_coordinator
from resolvers.members import MemberFields, MemberView

MemberMessage = ChangeMessage[MemberView]

# So many batches of the feed are read for a page at the most; the next page goes on from there.
MAX_BATCHES = 10
ALL_FIELDS = MemberFields()


@dataclass(frozen=True, slots=True)
class ChangePage:
    """The next changes, and the cursor after them.

    With `resync` there are none: the changes after the cursor cannot be told.
    """

    messages: Sequence[MemberMessage]
    cursor: Cursor
    more: bool
    resync: ResyncReason | None = None


@dataclass(slots=True)
class _Reading:
    """A part of the feed, read for all with one sight. `own_ends` has the first change of each
    member by which they may have come to see other things."""

    at: Position
    shown: list[CommittedChange] = field(default_factory=list)
    own_ends: dict[MemberId, Position] = field(default_factory=dict)
    messages: Sequence[MemberMessage] = ()
    ended: ResyncReason | None = None


class ChangePages:
    """Makes pages, and wakes those who wait for the next one. Runs inside `async with`."""

    def __init__(self, database: Database, feed: LiveFeed) -> None:
        self._database = database
        self._feed = feed
        self._readings: dict[Hashable, asyncio.Task[_Reading]] = {}
        self._waiting: defaultdict[MemberProjection, dict[asyncio.Event, MemberId | None]] = (
            defaultdict(dict)
        )
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._stack.enter_context(self._feed.subscribe(self._on_changes, self._wake_all))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._wake_all()
        await self._stack.aclose()

    async def page(
        self, start: StreamStart, size: int, fields: MemberFields = ALL_FIELDS
    ) -> ChangePage:
        """Returns at most `size` changes. The viewer of the start may see them."""
        if start.expired:
            return ChangePage((), start.head, more=False, resync=ResyncReason.CURSOR_EXPIRED)
        reading = await self._shared_reading(start, size, fields)
        messages, at, ended = reading.messages, reading.at, reading.ended
        member = start.viewer.member
        own_end = None if member is None else reading.own_ends.get(member.id)
        if own_end is not None and (own_end <= at or ended):
            messages = [message for message in messages if message.cursor.position < own_end]
            at, ended = Position(own_end - 1), ResyncReason.ACCESS_CHANGED
        if not messages and ended:
            return ChangePage((), start.head, more=False, resync=ended)
        more = ended is not None or at < start.head.position
        # The cursor stays where it was while nothing is shown, so that the answer stays the same.
        shown = messages[-1].cursor.position if messages else start.at.position
        if not more and at - shown < HIDDEN_CHANGES:
            at = shown
        return ChangePage(messages, Cursor(start.at.feed_id, at), more)

    @contextmanager
    def waiting(self, start: StreamStart) -> Iterator[asyncio.Event]:
        """Yields an event that is set once there may be another page for the viewer."""
        event = asyncio.Event()
        projection = _projection(start.viewer.sight, ALL_FIELDS)
        member = start.viewer.member
        self._waiting[projection][event] = None if member is None else member.id
        if self._feed.position > start.head.position:
            event.set()
        try:
            yield event
        finally:
            waiting = self._waiting[projection]
            waiting.pop(event, None)
            if not waiting:
                del self._waiting[projection]

    def _on_changes(self, changes: Sequence[CommittedChange]) -> None:
        all_concerned = any(_alters_access(change) for change in changes)
        members = {change.member_id for change in changes if change.member_id is not None}
        for projection, waiting in self._waiting.items():
            shown = all_concerned or any(projection.operation(change) for change in changes)
            for event, member_id in waiting.items():
                if shown or member_id in members:
                    event.set()

    def _wake_all(self) -> None:
        for waiting in self._waiting.values():
            for event in waiting:
                event.set()

    async def _shared_reading(
        self, start: StreamStart, size: int, fields: MemberFields
    ) -> _Reading:
        """Reads once for all who ask for the same at the same time."""
        key = (
            start.viewer.sight.shared(),
            start.viewer.is_operator,
            start.at,
            start.head,
            size,
            fields,
        )
        task = self._readings.get(key)
        if task is None:
            task = self._readings[key] = asyncio.create_task(self._read(start, size, fields))
            task.add_done_callback(partial(self._forget, key))
        return await asyncio.shield(task)

    def _forget(self, key: Hashable, task: "asyncio.Task[_Reading]") -> None:
        self._readings.pop(key, None)
        # Asking for it keeps asyncio from logging it when nobody waits any more.
        if not task.cancelled():
            task.exception()

    async def _read(self, start: StreamStart, size: int, fields: MemberFields) -> _Reading:
        viewer, head = start.viewer, start.head.position
        projection = _projection(viewer.sight, fields)
        moves = viewer.sight.sees_others and not viewer.is_operator
        reading = _Reading(start.at.position)
        for _ in range(MAX_BATCHES):
            if reading.at >= head or len(reading.shown) >= size or reading.ended:
                break
            async with self._database.read() as session:
                changes = await changes_after(session, reading.at, limit=BATCH)
            if not changes or changes[0].position != reading.at + 1:
                reading.ended = ResyncReason.CURSOR_EXPIRED
                break
            _take(reading, projection, changes, head=head, size=size, moves=moves)
        batch = ChangeBatch(self._database, reading.shown)
        messages = await change_messages(projection, batch, reading.shown, start.at.feed_id)
        reading.messages = [messages[position] for position in sorted(messages)]
        return reading


def _take(
    reading: _Reading,
    projection: MemberProjection,
    changes: Sequence[CommittedChange],
    *,
    head: Position,
    size: int,
    moves: bool,
) -> None:
    """Takes those changes that are shown, up to the size of the page, the head of the feed, or a
    change by which those with this sight may have come to see other things."""
    for change in changes:
        if change.position > head or len(reading.shown) >= size:
            return
        if change.facts.catalogue_changed or (moves and change.access_changed):
            reading.ended = ResyncReason.ACCESS_CHANGED
            return
        if change.member_id is not None and was_coordinator(change):
            reading.own_ends.setdefault(change.member_id, change.position)
        if projection.operation(change) is not None:
            reading.shown.append(change)
        reading.at = change.position


def _projection(sight: Sight, fields: MemberFields) -> MemberProjection:
    """Returns the projection of all members whom the sight shows."""
    return MemberProjection(sight.shared(), MemberFilter(), replace(fields, roles=True))


def _alters_access(change: CommittedChange) -> bool:
    return change.access_changed or change.facts.catalogue_changed
