"""One stream of live changes, and whoever listens to it.

It catches up from the database as long as it lives in the past; in the present it is told what the
process reads. Each message is made once, for however many subscribers.
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
from resolvers.live.batch import Batch
from resolvers.live.projections import EndReason, Notice, Resync, notices, saw_others
from resolvers.live.subscribers import Rendered, Selection, Subscriber

T = TypeVar("T")
V = TypeVar("V")

# After so many changes that were not for the viewer, a heartbeat spares them a reconnect's reading.
HIDDEN_RUN = BATCH
# More than that waiting for a stream, and it reads them from the database in its own time.
BACKLOG = 1000
# After so many messages, others have their turn at the event loop.
TURN = 200
# So many changes that wait are sent together: what each write costs is paid once for them all.
TOGETHER = 50
OUTAGE_SECONDS = 0.5


Due = tuple[Batch, list[CommittedChange]]
"""Changes that matter to a stream, and those they were read with."""


@dataclass(frozen=True, slots=True)
class End:
    """How far a subscriber gets; `errors` when they may not be served at all."""

    at: Position
    errors: bytes | None = None


class Present(Protocol):
    """All the streams of the process."""

    @property
    def database(self) -> Database: ...

    @property
    def position(self) -> Position:
        """Up to here the streams that live in the present were told of every change."""

    def like(self, stream: "SharedStream[V]") -> "SharedStream[V] | None":
        """The stream in the present that shows the same."""

    def register(self, stream: "SharedStream[Any]") -> None:
        """It lives in the present from now on: it is told of every change that is read."""

    def unregister(self, stream: "SharedStream[Any]") -> None: ...

    def no_longer_late(self, stream: "SharedStream[Any]") -> None:
        """Whoever begins where it began is no longer to join it."""

    def closed(self, stream: "SharedStream[Any]") -> None: ...

    async def heartbeat(self, stream: "SharedStream[Any]", cursor: Cursor) -> Rendered: ...


class SharedStream(Generic[V]):
    """One stream and whoever listens to it. Its task runs only while there is something to do."""

    def __init__(
        self,
        present: Present,
        selection: Selection[V],
        feed_id: str,
        at: Position,
        late: Hashable = None,
    ) -> None:
        self.selection = selection
        self.renderer = selection.renderer()
        self.is_live = late is None
        self.late = late
        self.next_beat = 0.0
        self._present = present
        self._feed_id = feed_id
        # Up to here everything was sent; while it lives in the present and has nothing to do,
        # that is wherever the process is.
        self._at = at
        self._told = at
        self._subscribers: dict[Subscriber, None] = {}
        self._by_member: defaultdict[MemberId, set[Subscriber]] = defaultdict(set)
        self._backlog: deque[Due] = deque()
        self._waiting = 0
        self._beat_due = False
        self._expired = False
        self._task: asyncio.Task[None] | None = None

    @property
    def position(self) -> Position:
        return self._at if self._task is not None or not self.is_live else self._present.position

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
        if self._present.position - self._told >= HIDDEN_RUN:
            self.beat()

    def wake(self) -> None:
        if self._task is None and (self._backlog or self._beat_due or not self.is_live):
            if self.is_live and not self._backlog:
                self._at = self._present.position
            self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _matters(self, change: CommittedChange) -> bool:
        return (
            change.access_changed
            # Also of one who is no subscriber yet: they may join before it is their turn.
            or saw_others(change)
            or change.member_id in self._by_member
            or self.selection.lens.operation(change) is not None
        )

    def fall_back(self) -> None:
        """What it was not told of, or cannot keep up with, it reads when it comes to it."""
        self._at = self.position
        self._present.unregister(self)
        self.is_live = False
        self._backlog.clear()
        self._waiting = 0
        self.wake()

    def expire(self) -> None:
        """The feed it has told of is no more. Nobody may join it, and all are to query again."""
        self._expired = True
        self._present.no_longer_late(self)
        self.fall_back()

    def _close(self) -> None:
        self._present.closed(self)
        self.is_live = False

    async def _work(self) -> None:
        try:
            while self._subscribers and (not self.is_live or self._backlog or self._beat_due):
                if self._expired:
                    await self._end_all()
                elif not self.is_live:
                    if not self._has_joined_the_living():
                        await self._catch_up()
                elif self._backlog:
                    await self._deliver(self._due())
                else:
                    self._at = self._present.position
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
        live = self._present.like(self)
        if self._at < (self._present.position if live is None else live.position):
            return False
        if live is None:
            self.is_live = True
            self._present.register(self)
            return True
        subscribers, self._subscribers = self._subscribers, {}
        self._by_member.clear()
        self._close()
        for subscriber in subscribers:
            live.add(subscriber)
        return True

    async def _catch_up(self) -> None:
        async def read() -> list[CommittedChange]:
            async with self._present.database.read() as session:
                return await changes_after(session, self._at, limit=BATCH)

        changes = await _patiently(read)
        # Whoever comes now from where this began would miss what is being sent.
        self._present.no_longer_late(self)
        if not changes or changes[0].position != self._at + 1:
            # They were kept when the subscribers came, but are no longer.
            await self._end_all()
            return
        batch = Batch(self._present.database, changes)
        await self._deliver([(batch, [c for c in changes if self._matters(c)])])
        self._at = changes[-1].position
        if self._at - self._told >= HIDDEN_RUN:
            await self._send_heartbeat()

    def _due(self) -> list[Due]:
        """What waits, as far as it can be sent together."""
        found = [self._backlog.popleft()]
        while self._backlog and sum(len(changes) for _, changes in found) < TOGETHER:
            found.append(self._backlog.popleft())
        self._waiting -= sum(len(changes) for _, changes in found)
        return found

    async def _deliver(self, due: Sequence[Due]) -> None:
        messages: list[tuple[Position, Rendered]] = []
        for batch, changes in due:
            look = partial(notices, self.selection.lens, batch, changes, self._feed_id)
            for position, notice in (await _patiently(look)).items():
                messages.append((position, await self._render(notice)))
        ends = await self._blinded(due)
        _, last = due[-1]
        if last:
            # From here on, whoever begins before it is caught up with separately.
            self._at = last[-1].position
        await self._send(messages, ends)

    async def _render(self, message: Resync | Notice[V]) -> Rendered:
        return await _patiently(lambda: self.renderer.render(message))

    async def _send_heartbeat(self) -> None:
        self._beat_due = False
        at = self._told = self._at
        heartbeat = [await self._present.heartbeat(self, Cursor(self._feed_id, at))]
        await self._each(lambda s: heartbeat if s.at <= at else [], at)

    async def _send(
        self, messages: Sequence[tuple[Position, Rendered]], ends: Mapping[Subscriber, End]
    ) -> None:
        """To everybody what they have not had; of those that end, up to there."""
        if messages:
            first, (last, _) = messages[0][0], messages[-1]
            everything = [rendered for _, rendered in messages]
            self._told = last

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
                await self._end(subscriber, end.at, EndReason.ACCESS_CHANGED)
            else:
                self._fail(subscriber, end.errors)

    async def _each(self, due: Callable[[Subscriber], Sequence[Rendered]], at: Position) -> None:
        """In turns with others. Who does not keep up is told so, and gets nothing more."""
        slow = []
        subscribers = list(self._subscribers)
        for start in range(0, len(subscribers), TURN):
            if start:
                await asyncio.sleep(0)
            for subscriber in subscribers[start : start + TURN]:
                messages = due(subscriber)
                if not messages:
                    continue
                if subscriber.outlet.next(messages):
                    subscriber.at = at
                else:
                    slow.append(subscriber)
        for subscriber in slow:
            await self._end(subscriber, subscriber.at, EndReason.SLOW_CONSUMER)

    async def _blinded(self, due: Sequence[Due]) -> dict[Subscriber, End]:
        """Those whose sight changes on the way, and how far they get."""
        ends: dict[Subscriber, End] = {}
        if self.selection.lens.tells_of_access:
            return ends
        # Whoever joins while others are looked up is to be looked at as well.
        while waiting := [
            (batch, change, subscriber)
            for batch, changes in due
            for change in changes
            for subscriber in self._concerned(change)
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
        self, batch: Batch, change: CommittedChange, subscriber: Subscriber
    ) -> End | None:
        before = Position(change.position - 1)
        watch, lens = subscriber.watch, self.selection.lens
        try:
            same = await _patiently(partial(watch.still_the_same, batch, change, lens))
        except Exception as error:  # the viewer may not be served at all, and is told why
            return End(before, self.renderer.failure(error))
        return None if same else End(before)

    def _concerned(self, change: CommittedChange) -> Iterable[Subscriber]:
        """Whose sight may change with it."""
        if change.access_changed:
            return list(self._subscribers)
        if change.member_id is None:
            return ()
        return list(self._by_member.get(change.member_id, ()))

    async def _end_all(self) -> None:
        for subscriber in list(self._subscribers):
            await self._end(subscriber, self._present.position, EndReason.CURSOR_EXPIRED)

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
