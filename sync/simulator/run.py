"""Sends the events of a portal: a load run, or the changes of a demo. It prints nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import chain, repeat

from sync.simulator.disturbance import disturbed
from sync.simulator.event_bodies import PortalEvent
from sync.simulator.portal import Portal
from sync.simulator.sender import Sender, SendResult
from sync.simulator.summary import Summary, Tally


@dataclass(frozen=True, slots=True)
class Load:
    """A load run: `members` join, then `events` changes happen."""

    members: int
    events: int
    # Deliveries per second; 0 sends as fast as the receiver answers.
    rate: float = 0.0
    # The number of deliveries in flight at the same time.
    concurrency: int = 32
    # The share of events delivered twice, and by how many places one may be out of order.
    duplicates: float = 0.0
    shuffle: int = 0

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise ValueError(f"`concurrency` must be at least 1; got {self.concurrency}.")


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a load run. `expected` is an estimate, since repetitions are random."""

    sent: int
    expected: int
    accepted: int
    seconds: float


async def simulate(
    portal: Portal,
    sender: Sender,
    load: Load,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Summary:
    """Sends the load and counts the results; `on_progress` is called after each delivery.

    The run ends early when the receiver answers 401 or 404: the secret or the address is wrong.

    Events of one member may overtake each other. With a rate, a delivery is due at its time whether
    or not the earlier ones are answered, and its answer is timed from then, so that a slow receiver
    cannot hide its queue.
    """
    run = _Run(portal, sender, load, on_progress)
    return await run.to_its_end()


class _Run:
    def __init__(
        self,
        portal: Portal,
        sender: Sender,
        load: Load,
        on_progress: Callable[[Progress], None],
    ) -> None:
        events = chain(portal.enrol(load.members), _changes(portal, load.events))
        self._stream = disturbed(events, load.duplicates, load.shuffle, seed=portal.seed)
        self._sender = sender
        self._load = load
        self._on_progress = on_progress
        self._tally = Tally()
        self._expected = round((load.members + load.events) * (1 + load.duplicates))
        self._turn = asyncio.Lock()
        self._taken = 0
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()

    async def to_its_end(self) -> Summary:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._load.concurrency):
                tasks.create_task(self._send_in_turn())
        self._expected = self._tally.sent
        self._report()
        return self._tally.summary(self._elapsed())

    async def _send_in_turn(self) -> None:
        while (taken := await self._take()) is not None:
            event, due = taken
            result = await self._sender.send(event)
            self._tally.count(result, self._loop.time() - due)
            self._report()

    async def _take(self) -> tuple[PortalEvent, float] | None:
        if self._tally.stopped_by is not None:
            return None
        # One task at a time waits for the next due time, and only then draws the event, so that no
        # event is older than necessary when it is sent.
        async with self._turn:
            due = self._loop.time()
            if self._load.rate > 0:
                due = self._started + self._taken / self._load.rate
                await asyncio.sleep(max(0.0, due - self._loop.time()))
            self._taken += 1
            event = next(self._stream, None)
            return None if event is None else (event, due)

    def _report(self) -> None:
        accepted = len(self._tally.acknowledged)
        self._on_progress(Progress(self._tally.sent, self._expected, accepted, self._elapsed()))

    def _elapsed(self) -> float:
        return self._loop.time() - self._started


async def live(
    portal: Portal,
    sender: Sender,
    interval: float,
    on_result: Callable[[PortalEvent, SendResult], None] = lambda event, result: None,
    *,
    duplicates: float = 0.04,
    late: float = 0.04,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Sends a change every `interval` seconds until cancelled, some of them twice or late.

    If the receiver cannot be reached, the result says so, and the next change follows.
    """
    changes = _changes(portal)
    for event in disturbed(changes, duplicates, 2, seed=portal.seed, late=late):
        on_result(event, await sender.send(event))
        await pause(interval)


def _changes(portal: Portal, count: int | None = None) -> Iterator[PortalEvent]:
    times = repeat(None) if count is None else repeat(None, count)
    return (portal.next_change() for _ in times)
