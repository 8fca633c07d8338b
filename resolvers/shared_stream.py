"""One stream of live changes, and whoever listens to it.

It catches up from the database as long as it lives in the past; in the present it is told what the
process reads. Each message is made once, for however many subscribers.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from db.changes import CommittedChange, Cursor, changes_after
from db.errors import DatabaseUnavailableError
from db.feed import BATCH
from db.unit_of_work import Database
from db.vocabulary import MemberId, Position
from resolvers.batch import Batch
from resolvers.live import EndReason, Notice, Resync, notices
from resolvers.subscribers import Rendered, Selection, Subscriber

T = TypeVar("T")
V = TypeVar("V")

# After so many changes that were not for the viewer, a heartbeat spares them a reconnect's reading.
HIDDEN_RUN = BATCH
# More than that waiting for a stream, and it reads them from the database in its own time.
BACKLOG = 1000
# After so many messages, others have their turn at the event loop.
TURN = 200
OUTAGE_SECONDS = 0.5


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
        self._backlog: deque[tuple[Batch, list[CommittedChange]]] = deque()
        self._waiting = 0
        self._beat_due = False
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

    def _close(self) -> None:
        self._present.closed(self)
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
            for subscriber in list(self._subscribers):
                await self._end(subscriber, self._present.position, EndReason.CURSOR_EXPIRED)
            return
        batch = Batch(self._present.database, changes)
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
        rendered = await self._present.heartbeat(self, Cursor(self._feed_id, self._at))
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
