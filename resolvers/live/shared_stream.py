"""One live stream and its subscribers.

A stream that begins in the past reads changes from the database until it has caught up. From then
on it is live: it is offered the changes that the process reads anyway. Each message is rendered
once for all subscribers.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from db.database import Database
from db.errors import DatabaseUnavailableError
from db.feed.change_feed import BATCH
from db.feed.changes import Cursor, changes_after
from db.publication import CommittedChange
from db.vocabulary import MemberId, Position
from resolvers.live.change_batch import ChangeBatch
from resolvers.live.projections import change_messages
from resolvers.live.stream_messages import ChangeMessage, Resync, ResyncReason
from resolvers.live.subscribers import Rendered, Selection, Subscriber
from resolvers.live.viewer_check import was_coordinator

T = TypeVar("T")
V = TypeVar("V")

# After so many hidden changes a heartbeat moves the cursor on, so that a reconnect reads less.
HIDDEN_CHANGES = BATCH
# A stream with more changes waiting reads them from the database when it gets there.
MAX_BACKLOG = 1000
# After so many subscribers, other tasks have their turn at the event loop.
SUBSCRIBERS_PER_TURN = 200
# So many waiting changes are sent together, because each write to a socket has its price.
CHANGES_PER_WRITE = 50
OUTAGE_SECONDS = 0.5


Due = tuple[ChangeBatch, list[CommittedChange]]
"""Changes that concern a stream, and the batch they were read with."""


@dataclass(frozen=True, slots=True)
class End:
    """The last position a subscriber may see. `errors` says why they may not be served at all."""

    at: Position
    errors: bytes | None = None


class StreamRegistry(Protocol):
    """All streams of the process."""

    @property
    def database(self) -> Database: ...

    @property
    def position(self) -> Position:
        """The last position that was offered to live streams."""

    def live_stream(self, key: Hashable) -> "SharedStream[Any] | None":
        """Returns the live stream for selections with this key; None where there is none."""

    def register(self, stream: "SharedStream[Any]") -> None:
        """Makes the stream live: it is offered every change that is read from now on."""

    def unregister(self, stream: "SharedStream[Any]") -> None:
        """Offers it no more changes."""

    def left_start(self, stream: "SharedStream[Any]") -> None:
        """Lets nobody join a stream that has moved on from the position where it began."""

    def closed(self, stream: "SharedStream[Any]") -> None:
        """Forgets the stream."""

    async def heartbeat(self, stream: "SharedStream[Any]", cursor: Cursor) -> Rendered:
        """Returns a heartbeat, rendered once for many streams."""


class SharedStream(Generic[V]):
    """A stream and its subscribers. Its task runs only while there is something to send.

    `start` identifies a stream that begins in the past; None makes a live one.
    """

    def __init__(
        self,
        registry: StreamRegistry,
        selection: Selection[V],
        feed_id: str,
        at: Position,
        start: Hashable = None,
    ) -> None:
        self.selection = selection
        self.renderer = selection.renderer()
        self.is_live = start is None
        self.start = start
        self.next_heartbeat = 0.0
        self._registry = registry
        self._feed_id = feed_id
        # The last position that was sent or hidden. While a live stream is idle, that is the
        # position of the registry instead.
        self._at = at
        # The last position that subscribers were sent in a message.
        self._sent = at
        self._subscribers: dict[Subscriber, None] = {}
        self._by_member: defaultdict[MemberId, set[Subscriber]] = defaultdict(set)
        self._backlog: deque[Due] = deque()
        self._waiting = 0
        self._heartbeat_due = False
        self._expired = False
        self._task: asyncio.Task[None] | None = None

    @property
    def position(self) -> Position:
        return self._at if self._task is not None or not self.is_live else self._registry.position

    def add(self, subscriber: Subscriber) -> None:
        subscriber.stream = self
        self._subscribers[subscriber] = None
        if subscriber.check.member_id is not None:
            self._by_member[subscriber.check.member_id].add(subscriber)

    def remove(self, subscriber: Subscriber) -> None:
        """Removes the subscriber, and closes the stream when none is left.

        Does nothing if the subscriber belongs to another stream.
        """
        if self._subscribers.pop(subscriber, subscriber) is subscriber:
            return
        subscriber.stream = None
        member_id = subscriber.check.member_id
        if member_id is not None:
            self._by_member[member_id].discard(subscriber)
            if not self._by_member[member_id]:
                del self._by_member[member_id]
        if not self._subscribers:
            self._close()
            if self._task is not None and self._task is not asyncio.current_task():
                self._task.cancel()

    def offer(self, batch: ChangeBatch, changes: Iterable[CommittedChange]) -> None:
        """Takes those of the changes that concern the stream or may end it for a subscriber."""
        due = [change for change in changes if self._concerns(change)]
        if not due:
            return
        if self._waiting + len(due) > MAX_BACKLOG:
            self.fall_back()
            return
        if self._task is None:
            self._at = Position(due[0].position - 1)
        self._backlog.append((batch, due))
        self._waiting += len(due)
        self.wake()

    def send_heartbeat(self) -> None:
        self._heartbeat_due = True
        self.wake()

    def send_heartbeat_if_hidden(self) -> None:
        """Sends a heartbeat when nothing was sent for `HIDDEN_CHANGES` changes."""
        if self._registry.position - self._sent >= HIDDEN_CHANGES:
            self.send_heartbeat()

    def wake(self) -> None:
        """Starts the task when there is something to do."""
        if self._task is None and (self._backlog or self._heartbeat_due or not self.is_live):
            if self.is_live and not self._backlog:
                self._at = self._registry.position
            self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _concerns(self, change: CommittedChange) -> bool:
        return (
            change.access_changed
            # Even when that member does not subscribe yet: they may before it is sent.
            or was_coordinator(change)
            or change.member_id in self._by_member
            or self.selection.projection.operation(change) is not None
        )

    def fall_back(self) -> None:
        """Reads from the database again what it was not offered, or cannot send fast enough."""
        self._at = self.position
        self._registry.unregister(self)
        self.is_live = False
        self._backlog.clear()
        self._waiting = 0
        self.wake()

    def on_feed_replaced(self) -> None:
        """Ends the stream for all subscribers, because its cursors mean nothing in another feed."""
        self._expired = True
        self._registry.left_start(self)
        self.fall_back()

    def _close(self) -> None:
        self._registry.closed(self)
        self.is_live = False

    async def _work(self) -> None:
        try:
            while self._subscribers and (not self.is_live or self._backlog or self._heartbeat_due):
                if self._expired:
                    await self._end_all()
                elif not self.is_live:
                    if not self._caught_up():
                        await self._catch_up()
                elif self._backlog:
                    await self._deliver(self._take_backlog())
                else:
                    self._at = self._registry.position
                    await self._heartbeat()
        except Exception as error:  # whatever it was, no subscriber may be left waiting
            errors = self.renderer.failure(error)
            for subscriber in list(self._subscribers):
                self._fail(subscriber, errors)
            self._close()
        finally:
            self._task = None

    def _caught_up(self) -> bool:
        """Makes the stream live, or moves its subscribers to the live one, once it is level."""
        live = self._registry.live_stream(self.selection.key)
        if self._at < (self._registry.position if live is None else live.position):
            return False
        if live is None:
            self.is_live = True
            self._registry.register(self)
            return True
        subscribers, self._subscribers = self._subscribers, {}
        self._by_member.clear()
        self._close()
        for subscriber in subscribers:
            live.add(subscriber)
        return True

    async def _catch_up(self) -> None:
        """Sends the next batch of changes from the database."""

        async def read() -> list[CommittedChange]:
            async with self._registry.database.read() as session:
                return await changes_after(session, self._at, limit=BATCH)

        changes = await _until_available(read)
        # Whoever joins from now on would miss what is about to be sent.
        self._registry.left_start(self)
        if not changes or changes[0].position != self._at + 1:
            # They were kept when the subscribers came, but are no longer.
            await self._end_all()
            return
        batch = ChangeBatch(self._registry.database, changes)
        await self._deliver([(batch, [c for c in changes if self._concerns(c)])])
        self._at = changes[-1].position
        if self._at - self._sent >= HIDDEN_CHANGES:
            await self._heartbeat()

    def _take_backlog(self) -> list[Due]:
        """Takes about `CHANGES_PER_WRITE` changes from the backlog."""
        found = [self._backlog.popleft()]
        while self._backlog and sum(len(changes) for _, changes in found) < CHANGES_PER_WRITE:
            found.append(self._backlog.popleft())
        self._waiting -= sum(len(changes) for _, changes in found)
        return found

    async def _deliver(self, due: Sequence[Due]) -> None:
        messages: list[tuple[Position, Rendered]] = []
        for batch, changes in due:
            load = partial(
                change_messages, self.selection.projection, batch, changes, self._feed_id
            )
            for position, message in (await _until_available(load)).items():
                messages.append((position, await self._render(message)))
        ends = await self._lost_access(due)
        _, last = due[-1]
        if last:
            # From here on, subscribers who begin before it catch up in a stream of their own.
            self._at = last[-1].position
        await self._send(messages, ends)

    async def _render(self, message: Resync | ChangeMessage[V]) -> Rendered:
        return await _until_available(lambda: self.renderer.render(message))

    async def _heartbeat(self) -> None:
        self._heartbeat_due = False
        at = self._sent = self._at
        heartbeat = [await self._registry.heartbeat(self, Cursor(self._feed_id, at))]
        await self._each(lambda s: heartbeat if s.at <= at else [], at)

    async def _send(
        self, messages: Sequence[tuple[Position, Rendered]], ends: Mapping[Subscriber, End]
    ) -> None:
        """Sends each subscriber the messages they have not had, and ends those of `ends`."""
        if messages:
            first, (last, _) = messages[0][0], messages[-1]
            everything = [rendered for _, rendered in messages]
            self._sent = last

            def due(subscriber: Subscriber) -> Sequence[Rendered]:
                end = ends.get(subscriber)
                if end is None and subscriber.at < first:
                    return everything
                limit = last if end is None else end.at
                return [r for position, r in messages if subscriber.at < position <= limit]

            await self._each(due, last)
        for subscriber, end in ends.items():
            if subscriber not in self._subscribers:
                continue
            if end.errors is None:
                await self._end(subscriber, end.at, ResyncReason.ACCESS_CHANGED)
            else:
                self._fail(subscriber, end.errors)

    async def _each(self, due: Callable[[Subscriber], Sequence[Rendered]], at: Position) -> None:
        """Sends every subscriber what is due to them. Ends those whose connection is too slow."""
        slow = []
        subscribers = list(self._subscribers)
        for start in range(0, len(subscribers), SUBSCRIBERS_PER_TURN):
            if start:
                await asyncio.sleep(0)
            for subscriber in subscribers[start : start + SUBSCRIBERS_PER_TURN]:
                messages = due(subscriber)
                if not messages:
                    continue
                if subscriber.sink.next(messages):
                    subscriber.at = at
                else:
                    slow.append(subscriber)
        for subscriber in slow:
            await self._end(subscriber, subscriber.at, ResyncReason.SLOW_CONSUMER)

    async def _lost_access(self, due: Sequence[Due]) -> dict[Subscriber, End]:
        """Returns the subscribers whose sight changes with one of the changes."""
        ends: dict[Subscriber, End] = {}
        if self.selection.projection.survives_access_changes:
            return ends
        # Again for those who join while the others are looked up.
        while waiting := [
            (batch, change, subscriber)
            for batch, changes in due
            for change in changes
            for subscriber in self._affected(change)
            if subscriber.checked < change.position
        ]:
            for batch, change, subscriber in waiting:
                subscriber.checked = max(subscriber.checked, change.position)
                if subscriber.at < change.position and subscriber not in ends:
                    end = await self._end_by(batch, change, subscriber)
                    if end is not None:
                        ends[subscriber] = end
        return ends

    async def _end_by(
        self, batch: ChangeBatch, change: CommittedChange, subscriber: Subscriber
    ) -> End | None:
        """Returns the end that the change brings to the subscriber, if any."""
        before = Position(change.position - 1)
        check, projection = subscriber.check, self.selection.projection
        try:
            same = await _until_available(partial(check.sees_the_same, batch, change, projection))
        except Exception as error:  # the viewer may not be served at all, and is told why
            return End(before, self.renderer.failure(error))
        return None if same else End(before)

    def _affected(self, change: CommittedChange) -> Iterable[Subscriber]:
        """Returns the subscribers whose sight the change may alter."""
        if change.access_changed:
            return list(self._subscribers)
        if change.member_id is None:
            return ()
        return list(self._by_member.get(change.member_id, ()))

    async def _end_all(self) -> None:
        for subscriber in list(self._subscribers):
            await self._end(subscriber, self._registry.position, ResyncReason.CURSOR_EXPIRED)

    async def _end(self, subscriber: Subscriber, at: Position, reason: ResyncReason) -> None:
        rendered = await self._render(Resync(Cursor(self._feed_id, at), reason))
        self.remove(subscriber)
        subscriber.sink.finish(rendered)

    def _fail(self, subscriber: Subscriber, errors: bytes) -> None:
        self.remove(subscriber)
        subscriber.sink.fail(errors)


async def _until_available(attempt: Callable[[], Awaitable[T]]) -> T:
    """Repeats the attempt while the database is unavailable: messages come late, none is lost."""
    while True:
        try:
            return await attempt()
        except DatabaseUnavailableError:
            await asyncio.sleep(OUTAGE_SECONDS)
