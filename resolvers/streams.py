"""Streams of live changes that subscribers share.

Subscribers who see the same and ask for the same get the same messages, so these are made once:
loaded, executed and written as bytes, for however many. Only the place where each of them begins
is their own. Who begins in the past is caught up with from the database, and then joins those who
live in the present.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, Protocol, Self, TypeVar

from db.changes import CommittedChange, Cursor, changes_after
from db.errors import DatabaseUnavailableError
from db.feed import BATCH, LiveFeed
from db.unit_of_work import Database
from db.vocabulary import MemberId, Position
from resolvers.batch import Batch
from resolvers.live import EndReason, Heartbeat, Lens, Notice, Resync, Watch, notices

T = TypeVar("T")
V = TypeVar("V")

HEARTBEAT_SECONDS = 15.0
# After so many changes that were not for the viewer, a heartbeat spares them a reconnect's reading.
HIDDEN_RUN = BATCH
# More than that waiting for a stream, and it reads them from the database in its own time.
BACKLOG = 1000
# After so many messages, others have their turn at the event loop.
TURN = 200
OUTAGE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message as every subscriber gets it: the answer to an operation, in JSON."""

    cursor: str
    payload: bytes


class Renderer(Protocol[V]):
    async def render(self, message: Heartbeat | Resync | Notice[V]) -> Rendered:
        """Raises DatabaseUnavailableError."""

    def failure(self, error: Exception) -> bytes:
        """What a subscriber is told of it."""


class Outlet(Protocol):
    """Where one subscriber's messages go. Nothing here waits."""

    def place(self, cursor: str) -> None:
        """Where the first message stands, before it comes."""

    def opened(self, leave: Callable[[], None]) -> None:
        """From now on, messages come. `leave` ends that, and may be called at any time."""

    def next(self, message: Rendered) -> bool:
        """False when it has no room for it: the subscriber does not keep up."""

    def finish(self, message: Rendered) -> None:
        """The last message, for which there is always room."""

    def fail(self, errors: bytes) -> None:
        """The end, with errors (a list, in JSON) in place of a last message."""


@dataclass(slots=True, eq=False)
class Subscriber:
    """`at` is the position up to which nothing is due any more, `checked` the one up to which its
    viewer is known to have kept their sight."""

    outlet: Outlet
    watch: Watch
    at: Position
    checked: Position
    stream: "SharedStream[Any] | None" = None

    def leave(self) -> None:
        if self.stream is not None:
            self.stream.remove(self)


@dataclass(frozen=True, slots=True)
class Selection(Generic[V]):
    """What was asked for. Of those with the same lens and the same key, one is enough.

    `text` stands for the document and its variables, whatever the lens.
    """

    lens: Lens[V]
    text: Hashable
    renderer: Callable[[], Renderer[V]]

    @property
    def key(self) -> Hashable:
        return (self.lens, self.text)


class LiveStreams:
    """Runs inside `async with`: all the shared streams of this process."""

    def __init__(self, database: Database, feed: LiveFeed) -> None:
        self.database = database
        self._feed = feed
        self._live: dict[Hashable, SharedStream[Any]] = {}
        self._wide: dict[SharedStream[Any], None] = {}
        self._personal: defaultdict[MemberId, dict[SharedStream[Any], None]] = defaultdict(dict)
        self._late: dict[Hashable, SharedStream[Any]] = {}
        self._beats: deque[tuple[float, SharedStream[Any]]] = deque()
        self._heartbeats: dict[Hashable, tuple[Cursor, float, Rendered]] = {}
        self._heard = self._swept = Position(0)

    async def __aenter__(self) -> Self:
        self._heard = self._feed.position
        self._told = self._feed.told_to(self._on_changes)
        self._told.__enter__()
        self._task = asyncio.create_task(self._keep_beating(), name="heartbeats")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._told.__exit__(None, None, None)
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        for stream in {*self._live.values(), *self._late.values()}:
            await stream.stop()

    @property
    def position(self) -> Position:
        """Up to here the streams that live in the present were told of every change."""
        return self._heard

    def join(self, selection: Selection[V], subscriber: Subscriber, feed_id: str) -> None:
        """The subscriber gets every change after its place, once and in order."""
        live = self._live.get(selection.key)
        if subscriber.at >= (self.position if live is None else live.position):
            stream = live or self._begun(SharedStream(self, selection, feed_id, subscriber.at))
        else:
            # Many may come back from the same place, when the process they were at is gone.
            late = (selection.key, subscriber.at)
            stream = self._late.get(late) or SharedStream(
                self, selection, feed_id, subscriber.at, late
            )
            self._late[late] = stream
        stream.add(subscriber)
        subscriber.outlet.opened(subscriber.leave)
        stream.wake()

    def live(self, stream: "SharedStream[V]") -> "SharedStream[V] | None":
        """The stream in the present that shows the same."""
        return self._live.get(stream.selection.key)

    def _begun(self, stream: "SharedStream[V]") -> "SharedStream[V]":
        self.register(stream)
        return stream

    def register(self, stream: "SharedStream[Any]") -> None:
        """It lives in the present from now on: it is told of every change that is read."""
        self._live[stream.selection.key] = stream
        only_member = stream.selection.lens.only_member
        if only_member is None:
            self._wide[stream] = None
        else:
            self._personal[only_member][stream] = None
        self._beats.append((_now() + HEARTBEAT_SECONDS, stream))

    def unregister(self, stream: "SharedStream[Any]") -> None:
        if self._live.get(stream.selection.key) is stream:
            del self._live[stream.selection.key]
        self._wide.pop(stream, None)
        only_member = stream.selection.lens.only_member
        if only_member is not None:
            self._personal[only_member].pop(stream, None)
            if not self._personal[only_member]:
                del self._personal[only_member]

    def no_longer_late(self, late: Hashable, stream: "SharedStream[Any]") -> None:
        if self._late.get(late) is stream:
            del self._late[late]

    def _on_changes(self, changes: Sequence[CommittedChange]) -> None:
        if changes[0].position != self._heard + 1:
            # The process was away for longer than changes are kept.
            for stream in list(self._live.values()):
                stream.fall_back()
        batch = Batch(self.database, changes)
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
        if self.position - self._swept >= HIDDEN_RUN:
            self._swept = self.position
            for stream in self._live.values():
                stream.beat_if_hidden()

    async def _keep_beating(self) -> None:
        while True:
            due = self._beats[0][0] if self._beats else _now() + HEARTBEAT_SECONDS
            await asyncio.sleep(max(due - _now(), 0.1))
            for _ in range(len(self._beats)):
                if self._beats[0][0] > _now():
                    break
                due, stream = self._beats.popleft()
                if stream.is_live:
                    stream.beat()
                    self._beats.append((due + HEARTBEAT_SECONDS, stream))

    async def heartbeat(self, stream: "SharedStream[Any]", cursor: Cursor) -> Rendered:
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


class SharedStream(Generic[V]):
    """One stream and whoever listens to it. Its task runs only while there is something to do."""

    def __init__(
        self,
        streams: LiveStreams,
        selection: Selection[V],
        feed_id: str,
        at: Position,
        late: Hashable = None,
    ) -> None:
        self.selection = selection
        self.renderer = selection.renderer()
        self.is_live = late is None
        self._streams = streams
        self._feed_id = feed_id
        self._late = late
        # Up to here everything was sent; while it lives in the present and has nothing to do,
        # that is wherever the process is.
        self._at = at
        self._told = at
        self._subscribers: dict[Subscriber, None] = {}
        self._by_member: defaultdict[MemberId, set[Subscriber]] = defaultdict(set)
        self._backlog: deque[tuple[Batch, list[CommittedChange]]] = deque()
        self._waiting = 0
        self._beat_due = False
        self._task: asyncio.Task[None] | None = None

    @property
    def position(self) -> Position:
        return self._at if self._task is not None or not self.is_live else self._streams.position

    def add(self, subscriber: Subscriber) -> None:
        subscriber.stream = self
        self._subscribers[subscriber] = None
        if subscriber.watch.member_id is not None:
            self._by_member[subscriber.watch.member_id].add(subscriber)

    def remove(self, subscriber: Subscriber) -> None:
        if self._subscribers.pop(subscriber, subscriber) is subscriber:
            return
        subscriber.stream = None
        member_id = subscriber.watch.member_id
        if member_id is not None:
            self._by_member[member_id].discard(subscriber)
            if not self._by_member[member_id]:
                del self._by_member[member_id]
        if not self._subscribers:
            self._close()
            if self._task is not None and self._task is not asyncio.current_task():
                self._task.cancel()

    def offer(self, batch: Batch, changes: Iterable[CommittedChange]) -> None:
        due = [change for change in changes if self._matters(change)]
        if not due:
            return
        if self._waiting + len(due) > BACKLOG:
            self.fall_back()
            return
        if self._task is None:
            self._at = Position(due[0].position - 1)
        self._backlog.append((batch, due))
        self._waiting += len(due)
        self.wake()

    def beat(self) -> None:
        self._beat_due = True
        self.wake()

    def beat_if_hidden(self) -> None:
        if self._streams.position - self._told >= HIDDEN_RUN:
            self.beat()

    def wake(self) -> None:
        if self._task is None and (self._backlog or self._beat_due or not self.is_live):
            if self.is_live and not self._backlog:
                self._at = self._streams.position
            self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _matters(self, change: CommittedChange) -> bool:
        return (
            change.access_changed
            or change.member_id in self._by_member
            or self.selection.lens.operation(change) is not None
        )

    def fall_back(self) -> None:
        """What it was not told of, or cannot keep up with, it reads when it comes to it."""
        self._at = self.position
        self._streams.unregister(self)
        self.is_live = False
        self._backlog.clear()
        self._waiting = 0
        self.wake()

    def _close(self) -> None:
        self._streams.unregister(self)
        self._streams.no_longer_late(self._late, self)
        self.is_live = False

    async def _work(self) -> None:
        try:
            while self._subscribers and (not self.is_live or self._backlog or self._beat_due):
                if not self.is_live:
                    if not self._has_joined_the_living():
                        await self._catch_up()
                elif self._backlog:
                    batch, due = self._backlog.popleft()
                    self._waiting -= len(due)
                    await self._deliver(batch, due)
                else:
                    self._at = self._streams.position
                    await self._send_heartbeat()
        except Exception as error:  # whatever it was, nobody may be left waiting
            told = self.renderer.failure(error)
            for subscriber in list(self._subscribers):
                self._fail(subscriber, told)
            self._close()
        finally:
            self._task = None

    def _has_joined_the_living(self) -> bool:
        """Whether it has come so far that it lives in the present, or its subscribers do."""
        live = self._streams.live(self)
        if self._at < (self._streams.position if live is None else live.position):
            return False
        if live is None:
            self.is_live = True
            self._streams.register(self)
            return True
        subscribers, self._subscribers = self._subscribers, {}
        self._by_member.clear()
        self._close()
        for subscriber in subscribers:
            live.add(subscriber)
        return True

    async def _catch_up(self) -> None:
        async def read() -> list[CommittedChange]:
            async with self._streams.database.read() as session:
                return await changes_after(session, self._at, limit=BATCH)

        changes = await _patiently(read)
        # Whoever comes now from where this began would miss what is being sent.
        self._streams.no_longer_late(self._late, self)
        if not changes or changes[0].position != self._at + 1:
            # They were kept when the subscribers came, but are no longer.
            for subscriber in list(self._subscribers):
                await self._end(subscriber, self._streams.position, EndReason.CURSOR_EXPIRED)
            return
        batch = Batch(self._streams.database, changes)
        await self._deliver(batch, [change for change in changes if self._matters(change)])
        self._at = changes[-1].position
        if self._at - self._told >= HIDDEN_RUN:
            await self._send_heartbeat()

    async def _deliver(self, batch: Batch, changes: Sequence[CommittedChange]) -> None:
        async def look() -> dict[Position, Notice[V]]:
            return await notices(self.selection.lens, batch, changes, self._feed_id)

        shown = await _patiently(look)
        for change in changes:
            notice = shown.get(change.position)
            rendered = None if notice is None else await self._render(notice)
            await self._part_with_the_blinded(batch, change)
            # From here on, whoever begins before it is caught up with separately.
            self._at = change.position
            if rendered is not None:
                await self._send(rendered)

    async def _render(self, message: Resync | Notice[V]) -> Rendered:
        return await _patiently(lambda: self.renderer.render(message))

    async def _send_heartbeat(self) -> None:
        self._beat_due = False
        rendered = await self._streams.heartbeat(self, Cursor(self._feed_id, self._at))
        await self._send(rendered, again=True)

    async def _send(self, rendered: Rendered, *, again: bool = False) -> None:
        """To everybody who is not further already; `again`: neither is who is just there."""
        position = self._told = self._at
        behind = position + again
        slow = []
        subscribers = list(self._subscribers)
        for start in range(0, len(subscribers), TURN):
            if start:
                await asyncio.sleep(0)
            for subscriber in subscribers[start : start + TURN]:
                if subscriber.at < behind:
                    if subscriber.outlet.next(rendered):
                        subscriber.at = position
                    else:
                        slow.append(subscriber)
        for subscriber in slow:
            await self._end(subscriber, subscriber.at, EndReason.SLOW_CONSUMER)

    async def _part_with_the_blinded(self, batch: Batch, change: CommittedChange) -> None:
        """Those whose sight changes with it get nothing more."""
        lens = self.selection.lens
        if lens.tells_of_access:
            return
        while waiting := [s for s in self._concerned(change) if s.checked < change.position]:
            for subscriber in waiting:
                subscriber.checked = change.position
                if subscriber.at >= change.position:
                    continue
                watch = subscriber.watch
                try:
                    same = await _patiently(partial(watch.still_the_same, batch, change, lens))
                except Exception as error:  # the viewer may not be served at all, and is told why
                    self._fail(subscriber, self.renderer.failure(error))
                    continue
                if not same:
                    before = Position(change.position - 1)
                    await self._end(subscriber, before, EndReason.ACCESS_CHANGED)

    def _concerned(self, change: CommittedChange) -> Iterable[Subscriber]:
        """Whose sight may change with it."""
        if change.access_changed:
            return list(self._subscribers)
        if change.member_id is None:
            return ()
        return list(self._by_member.get(change.member_id, ()))

    async def _end(self, subscriber: Subscriber, at: Position, reason: EndReason) -> None:
        rendered = await self._render(Resync(Cursor(self._feed_id, at), reason))
        self.remove(subscriber)
        subscriber.outlet.finish(rendered)

    def _fail(self, subscriber: Subscriber, errors: bytes) -> None:
        self.remove(subscriber)
        subscriber.outlet.fail(errors)


async def _patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """Again and again while the database is away: nobody has missed anything, it is only late."""
    while True:
        try:
            return await attempt()
        except DatabaseUnavailableError:
            await asyncio.sleep(OUTAGE_SECONDS)


def _now() -> float:
    return asyncio.get_running_loop().time()
