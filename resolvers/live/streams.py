"""Streams of live changes that subscribers share.

Subscribers who see the same and ask for the same get the same messages, so these are made once:
loaded, executed and written as bytes, for however many. Only the place where each of them begins
is their own. Who begins in the past is caught up with from the database, and then joins those who
live in the present.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Hashable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

from db.database import Database
from db.feed.change_feed import LiveFeed
from db.feed.changes import Cursor
from db.publication import CommittedChange
from db.vocabulary import MemberId, Position
from resolvers.live import shared_stream
from resolvers.live.batch import Batch
from resolvers.live.projections import Heartbeat
from resolvers.live.shared_stream import SharedStream
from resolvers.live.subscribers import Rendered, Selection, Subscriber

V = TypeVar("V")

HEARTBEAT_SECONDS = 15.0


class LiveStreams:
    """Runs inside `async with`: all the shared streams of this process."""

    def __init__(self, database: Database, feed: LiveFeed) -> None:
        self._database = database
        self._feed = feed
        self._open: set[SharedStream[Any]] = set()
        self._live: dict[Hashable, SharedStream[Any]] = {}
        self._wide: dict[SharedStream[Any], None] = {}
        self._personal: defaultdict[MemberId, dict[SharedStream[Any], None]] = defaultdict(dict)
        self._late: dict[Hashable, SharedStream[Any]] = {}
        self._beats: deque[tuple[float, SharedStream[Any]]] = deque()
        self._heartbeats: dict[Hashable, tuple[Cursor, float, Rendered]] = {}
        self._heard = self._swept = Position(0)

    async def __aenter__(self) -> Self:
        self._heard = self._feed.position
        self._told = self._feed.subscribe(self._on_changes, self._on_other_feed)
        self._told.__enter__()
        self._task = asyncio.create_task(self._keep_beating(), name="heartbeats")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._told.__exit__(None, None, None)
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        for stream in list(self._open):
            await stream.stop()

    @property
    def database(self) -> Database:
        return self._database

    @property
    def position(self) -> Position:
        return self._heard

    def join(self, selection: Selection[V], subscriber: Subscriber, feed_id: str) -> None:
        """The subscriber gets every change after its place, once and in order."""
        live = self._live.get(selection.key)
        if subscriber.at >= (self.position if live is None else live.position):
            stream = live or self._begun(selection, feed_id, subscriber.at)
        else:
            # Many may come back from the same place, when the process they were at is gone.
            late = (selection.key, subscriber.at)
            stream = self._late.get(late) or self._begun(selection, feed_id, subscriber.at, late)
        stream.add(subscriber)
        subscriber.outlet.opened(subscriber.leave)
        stream.wake()

    def like(self, stream: SharedStream[V]) -> SharedStream[V] | None:
        return self._live.get(stream.selection.key)

    def _begun(
        self, selection: Selection[V], feed_id: str, at: Position, late: Hashable = None
    ) -> SharedStream[V]:
        stream = SharedStream(self, selection, feed_id, at, late)
        self._open.add(stream)
        if late is None:
            self.register(stream)
        else:
            self._late[late] = stream
        return stream

    def register(self, stream: SharedStream[Any]) -> None:
        self._live[stream.selection.key] = stream
        only_member = stream.selection.lens.only_member
        if only_member is None:
            self._wide[stream] = None
        else:
            self._personal[only_member][stream] = None
        self._beat_later(stream, _now())

    def _beat_later(self, stream: SharedStream[Any], since: float) -> None:
        stream.next_beat = since + HEARTBEAT_SECONDS
        self._beats.append((stream.next_beat, stream))

    def unregister(self, stream: SharedStream[Any]) -> None:
        if self._live.get(stream.selection.key) is stream:
            del self._live[stream.selection.key]
        self._wide.pop(stream, None)
        only_member = stream.selection.lens.only_member
        if only_member is not None:
            self._personal[only_member].pop(stream, None)
            if not self._personal[only_member]:
                del self._personal[only_member]

    def no_longer_late(self, stream: SharedStream[Any]) -> None:
        if self._late.get(stream.late) is stream:
            del self._late[stream.late]

    def closed(self, stream: SharedStream[Any]) -> None:
        self.unregister(stream)
        self.no_longer_late(stream)
        self._open.discard(stream)

    def _on_changes(self, changes: Sequence[CommittedChange]) -> None:
        if changes[0].position != self._heard + 1:
            # The process was away for longer than changes are kept.
            for stream in list(self._live.values()):
                stream.fall_back()
        batch = Batch(self._database, changes)
        for stream in list(self._wide):
            stream.offer(batch, changes)
        if any(change.access_changed for change in changes):
            for stream in [s for streams in self._personal.values() for s in streams]:
                stream.offer(batch, changes)
        else:
            members = dict.fromkeys(c.member_id for c in changes if c.member_id is not None)
            for member_id in members:
                for stream in list(self._personal.get(member_id, ())):
                    stream.offer(batch, changes)
        self._heard = changes[-1].position
        if self.position - self._swept >= shared_stream.HIDDEN_RUN:
            self._swept = self.position
            for stream in self._live.values():
                stream.beat_if_hidden()

    def _on_other_feed(self) -> None:
        self._heard = self._swept = self._feed.position
        for stream in list(self._open):
            stream.expire()

    async def _keep_beating(self) -> None:
        while True:
            due = self._beats[0][0] if self._beats else _now() + HEARTBEAT_SECONDS
            await asyncio.sleep(max(due - _now(), 0.1))
            for _ in range(len(self._beats)):
                if self._beats[0][0] > _now():
                    break
                due, stream = self._beats.popleft()
                # One that was away for a while has got another turn since.
                if stream.is_live and stream.next_beat == due:
                    stream.beat()
                    self._beat_later(stream, due)

    async def heartbeat(self, stream: SharedStream[Any], cursor: Cursor) -> Rendered:
        """Those of one moment look alike, however different what their streams may show."""
        text = stream.selection.text
        known = self._heartbeats.get(text)
        if known is not None and known[0] == cursor and _now() - known[1] < 1:
            return known[2]
        rendered = await stream.renderer.render(Heartbeat(cursor, datetime.now(UTC)))
        self._heartbeats = {
            key: kept for key, kept in self._heartbeats.items() if _now() - kept[1] < 1
        }
        self._heartbeats[text] = (cursor, _now(), rendered)
        return rendered


def _now() -> float:
    return asyncio.get_running_loop().time()
