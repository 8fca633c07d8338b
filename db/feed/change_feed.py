"""The live change feed: read from the database once per process and passed on to all who follow.

The bell only says that there is something to read. A lost ring costs at most POLL_SECONDS, never a
change. As an optimisation, changes that this process has committed are passed on without reading
them, unless another process has committed something before them.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from typing import Protocol, Self

from db.background_task import BackgroundTask
from db.database import Database
from db.errors import DatabaseUnavailableError, SlowConsumerError
from db.feed.changes import Cursor, changes_after, feed_head
from db.publication import CommittedChange
from db.sessions import ReadSession
from db.vocabulary import Position

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
BATCH = 500
FOLLOWER_QUEUE = 1000


class WaitableBell(Protocol):
    """The part of the bell that the feed needs."""

    async def wait(self, seen: int, timeout: float) -> int:  # noqa: ASYNC109 - ends normally then
        """Returns the highest position that was rung for, at the latest after `timeout` seconds."""
        ...


Listener = Callable[[Sequence[CommittedChange]], None]
"""Called with changes as soon as they are read. It must not wait or raise, since all others wait
for it."""


class QueueFollower:
    """A follower with a bounded queue: first reads from the database what was committed before it
    began, then takes what the process reads."""

    def __init__(self, database: Database, after: Position, live_from: Position) -> None:
        self._database = database
        self._at = after
        self._live_from = live_from
        self._queue: deque[CommittedChange] = deque()
        self._overrun = False
        self._arrived = asyncio.Event()

    def offer(self, changes: Sequence[CommittedChange]) -> None:
        if len(self._queue) + len(changes) > FOLLOWER_QUEUE:
            self.give_up()
        if not self._overrun:
            self._queue.extend(changes)
        self._arrived.set()

    def give_up(self) -> None:
        self._overrun = True
        self._queue.clear()
        self._arrived.set()

    async def next_changes(self, patience: float) -> Sequence[CommittedChange]:
        """Returns the next changes in order; empty if none came within `patience` seconds.

        Raises SlowConsumerError when changes were lost to the bound of the queue or to retention.
        """
        if self._at < self._live_from:
            return await self._catch_up()
        if not self._queue and not self._overrun:
            self._arrived.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), patience)
        if self._overrun:
            raise SlowConsumerError(
                f"More than {FOLLOWER_QUEUE} changes waited for the subscriber to read them."
            )
        changes = [change for change in self._queue if change.position > self._at]
        self._queue.clear()
        self._go_on(changes)
        return changes

    def _go_on(self, changes: Sequence[CommittedChange]) -> None:
        if changes and changes[0].position != self._at + 1:
            raise SlowConsumerError(f"The changes after position {self._at} are no longer kept.")
        if changes:
            self._at = changes[-1].position

    async def _catch_up(self) -> Sequence[CommittedChange]:
        async with self._database.read() as session:
            changes = await changes_after(session, self._at, limit=BATCH)
        changes = [change for change in changes if change.position <= self._live_from]
        if not changes:
            raise SlowConsumerError(f"The changes after position {self._at} are no longer kept.")
        self._go_on(changes)
        return changes


class LiveFeed(BackgroundTask):
    """One task that reads the feed for any number of followers; it runs inside `async with`."""

    _task_name = "change feed"

    def __init__(self, database: Database, bell: WaitableBell) -> None:
        self._database = database
        self._bell = bell
        self._position = Position(0)
        self._feed_id = ""
        self._last_at: datetime | None = None
        self._followers: set[QueueFollower] = set()
        self._listeners: list[Listener] = []
        self._on_feed_replaced: list[Callable[[], None]] = []
        self._readable = False
        self._own: list[Sequence[CommittedChange]] = []

    async def __aenter__(self) -> Self:
        async with self._database.read() as session:
            head = await feed_head(session)
        self._feed_id, self._position = head.feed_id, head.position
        self._readable = True
        return await super().__aenter__()

    @property
    def alive(self) -> bool:
        """False while the feed cannot be read. Followers then wait; they miss nothing."""
        return self._readable and self._task is not None and not self._task.done()

    @property
    def position(self) -> Position:
        return self._position

    @asynccontextmanager
    async def follow(self, after: Position) -> AsyncIterator[QueueFollower]:
        """Yields a follower that gets every change after the position, once and in order."""
        follower = QueueFollower(self._database, after, live_from=self._position)
        self._followers.add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)

    @contextmanager
    def subscribe(
        self, listener: Listener, on_feed_replaced: Callable[[], None] = lambda: None
    ) -> Iterator[None]:
        """Calls the listener with every change after `position`, once and in order.

        Calls `on_feed_replaced` when the database was put back to an earlier moment or is another
        one, so that changes passed on before may never have happened; `position` is then one of
        the new feed.
        """
        self._listeners.append(listener)
        self._on_feed_replaced.append(on_feed_replaced)
        try:
            yield
        finally:
            self._listeners.remove(listener)
            self._on_feed_replaced.remove(on_feed_replaced)

    async def _run(self) -> None:
        with self._database.subscribe_to_commits(self._own.append):
            await self._follow_bell()

    async def _follow_bell(self) -> None:
        heard = 0
        while True:
            # `heard` counts as well: else a forged ring for a position beyond the feed's end would
            # end every wait at once.
            seen = max(heard, self._position)
            heard = await self._bell.wait(seen, POLL_SECONDS)
            self._pass_on_own()
            # After an outage the feed is read in any case, to find out whether it can be.
            if self._readable and seen < heard <= self._position:
                continue
            try:
                await self._read_on()
            except Exception as error:
                # Any error may pass, and every subscription depends on this task.
                if self._readable:
                    expected = isinstance(error, DatabaseUnavailableError)
                    logger.warning(
                        "The change feed cannot be read; trying again every %g s.",
                        POLL_SECONDS,
                        exc_info=None if expected else error,
                    )
                self._readable = False
                await asyncio.sleep(POLL_SECONDS)

    async def _read_on(self) -> None:
        while True:
            other = None
            async with self._database.read() as session:
                changes = await changes_after(session, self._position, limit=BATCH)
                if not changes or not self._readable:
                    other = await self._other_feed(session)
            if other is not None:
                self._begin_anew(other)
                return
            if not self._readable:
                logger.info("The change feed can be read again.")
                self._readable = True
            if not changes:
                return
            self._pass_on(changes)
            if len(changes) < BATCH:
                return

    async def _other_feed(self, session: ReadSession) -> Cursor | None:
        """Returns the feed's head if the feed is not the one that was read so far, else None.

        After an outage the database may be a replica that lacks the last changes, or a restored
        backup, or another database.
        """
        head = await feed_head(session)
        if head.feed_id != self._feed_id or head.position < self._position:
            return head
        if self._last_at is None:
            return None
        found = await changes_after(session, Position(self._position - 1), limit=1)
        is_kept = found and found[0].position == self._position
        return head if is_kept and found[0].committed_at != self._last_at else None

    def _begin_anew(self, head: Cursor) -> None:
        logger.warning(
            "The change feed that was read up to position %d was replaced by another one, which "
            "stands at position %d; all subscribers have to start again.",
            self._position,
            head.position,
        )
        self._feed_id, self._position, self._last_at = head.feed_id, head.position, None
        self._readable = True
        self._own.clear()
        for follower in list(self._followers):
            follower.give_up()
        for on_feed_replaced in list(self._on_feed_replaced):
            on_feed_replaced()

    def _pass_on_own(self) -> None:
        """Passes on this process's own commits as long as none is missing between them.

        At most BATCH changes at a time, so that followers get their turn; the rest is read.
        """
        own = sorted(self._own, key=lambda changes: changes[0].position)
        self._own.clear()
        room = BATCH
        for changes in own:
            room -= len(changes)
            if room >= 0 and changes[0].position == self._position + 1:
                self._pass_on(changes)

    def _pass_on(self, changes: Sequence[CommittedChange]) -> None:
        self._position, self._last_at = changes[-1].position, changes[-1].committed_at
        for follower in list(self._followers):
            follower.offer(changes)
        for listener in list(self._listeners):
            listener(changes)
