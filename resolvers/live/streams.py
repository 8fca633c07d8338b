"""All live streams of a process.

Subscribers who see the same and ask for the same share a stream, so each message is loaded,
executed and encoded once for all of them. Only the position where they begin is their own: those
who begin in the past catch up from the database and then join the live stream.
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
from resolvers.live.change_batch import ChangeBatch
from resolvers.live.shared_stream import SharedStream
from resolvers.live.stream_messages import Heartbeat
from resolvers.live.subscribers import Rendered, Selection, Subscriber

V = TypeVar("V")

HEARTBEAT_SECONDS = 15.0


class LiveStreams:
    """The registry of shared streams. Reads the feed inside `async with`."""

    def __init__(self, database: Database, feed: LiveFeed) -> None:
        self._database = database
        self._feed = feed
        self._open: set[SharedStream[Any]] = set()
        self._live: dict[Hashable, SharedStream[Any]] = {}
        # Live streams that show changes of any member, and of one member only.
        self._unrestricted: dict[SharedStream[Any], None] = {}
        self._by_member: defaultdict[MemberId, dict[SharedStream[Any], None]] = defaultdict(dict)
        # Streams that have read nothing yet, by key and start, so that others can join them.
        self._starting: dict[Hashable, SharedStream[Any]] = {}
        self._heartbeat_times: deque[tuple[float, SharedStream[Any]]] = deque()
        self._heartbeats: dict[Hashable, tuple[Cursor, float, Rendered]] = {}
        self._position = self._swept = Position(0)

    async def __aenter__(self) -> Self:
        self._position = self._feed.position
        self._registration = self._feed.subscribe(self._on_changes, self._on_feed_replaced)
        self._registration.__enter__()
        self._task = asyncio.create_task(self._keep_sending_heartbeats(), name="heartbeats")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._registration.__exit__(None, None, None)
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
        return self._position

    def join(self, selection: Selection[V], subscriber: Subscriber, feed_id: str) -> None:
        """Sends the subscriber every change after their position, once and in order."""
        live = self._live.get(selection.key)
        if subscriber.at >= (self.position if live is None else live.position):
            stream = live or self._new_stream(selection, feed_id, subscriber.at)
        else:
            # When a process is gone, many subscribers come back from the same position at once.
            start = (selection.key, subscriber.at)
            stream = self._starting.get(start) or self._new_stream(
                selection, feed_id, subscriber.at, start
            )
        stream.add(subscriber)
        subscriber.sink.opened(subscriber.leave)
        stream.wake()

    def live_stream(self, key: Hashable) -> SharedStream[Any] | None:
        return self._live.get(key)

    def _new_stream(
        self, selection: Selection[V], feed_id: str, at: Position, start: Hashable = None
    ) -> SharedStream[V]:
        stream = SharedStream(self, selection, feed_id, at, start)
        self._open.add(stream)
        if start is None:
            self.register(stream)
        else:
            self._starting[start] = stream
        return stream

    def register(self, stream: SharedStream[Any]) -> None:
        self._live[stream.selection.key] = stream
        only_member = stream.selection.projection.only_member
        if only_member is None:
            self._unrestricted[stream] = None
        else:
            self._by_member[only_member][stream] = None
        self._schedule_heartbeat(stream, _now())

    def _schedule_heartbeat(self, stream: SharedStream[Any], since: float) -> None:
        stream.next_heartbeat = since + HEARTBEAT_SECONDS
        self._heartbeat_times.append((stream.next_heartbeat, stream))

    def unregister(self, stream: SharedStream[Any]) -> None:
        if self._live.get(stream.selection.key) is stream:
            del self._live[stream.selection.key]
        self._unrestricted.pop(stream, None)
        only_member = stream.selection.projection.only_member
        if only_member is not None:
            self._by_member[only_member].pop(stream, None)
            if not self._by_member[only_member]:
                del self._by_member[only_member]

    def left_start(self, stream: SharedStream[Any]) -> None:
        if self._starting.get(stream.start) is stream:
            del self._starting[stream.start]

    def closed(self, stream: SharedStream[Any]) -> None:
        self.unregister(stream)
        self.left_start(stream)
        self._open.discard(stream)

    def _on_changes(self, changes: Sequence[CommittedChange]) -> None:
        if changes[0].position != self._position + 1:
            # The process could not read the feed for longer than changes are kept.
            for stream in list(self._live.values()):
                stream.fall_back()
        batch = ChangeBatch(self._database, changes)
        for stream in list(self._unrestricted):
            stream.offer(batch, changes)
        if any(change.access_changed for change in changes):
            for stream in [s for streams in self._by_member.values() for s in streams]:
                stream.offer(batch, changes)
        else:
            members = dict.fromkeys(c.member_id for c in changes if c.member_id is not None)
            for member_id in members:
                for stream in list(self._by_member.get(member_id, ())):
                    stream.offer(batch, changes)
        self._position = changes[-1].position
        if self.position - self._swept >= shared_stream.HIDDEN_CHANGES:
            self._swept = self.position
            for stream in self._live.values():
                stream.send_heartbeat_if_hidden()

    def _on_feed_replaced(self) -> None:
        self._position = self._swept = self._feed.position
        for stream in list(self._open):
            stream.on_feed_replaced()

    async def _keep_sending_heartbeats(self) -> None:
        while True:
            times = self._heartbeat_times
            due = times[0][0] if times else _now() + HEARTBEAT_SECONDS
            await asyncio.sleep(max(due - _now(), 0.1))
            for _ in range(len(times)):
                if times[0][0] > _now():
                    break
                due, stream = times.popleft()
                # A stream that fell back and is live again has been given another time.
                if stream.is_live and stream.next_heartbeat == due:
                    stream.send_heartbeat()
                    self._schedule_heartbeat(stream, due)

    async def heartbeat(self, stream: SharedStream[Any], cursor: Cursor) -> Rendered:
        """Renders a heartbeat. Streams of the same operation share it for a second."""
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
