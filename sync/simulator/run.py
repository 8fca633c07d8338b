"""Drives a portal's events through a sender: a load run, or a demo's daily life. Prints nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import chain, repeat

from sync.simulator.disturbance import disturbed
from sync.simulator.event_bodies import PortalEvent
from sync.simulator.portal import Portal
from sync.simulator.sender import Receipt, Sender
from sync.simulator.summary import Summary, Tally


@dataclass(frozen=True, slots=True)
class Load:
    """What a load run sends: `members` join, then `events` live changes happen."""

    members: int
    events: int
    # Deliveries a second; 0 is as fast as the receiver answers.
    rate: float = 0.0
    # The most deliveries in flight at once.
    concurrency: int = 32
    # The share of events delivered twice, and how many places one may be out of order.
    duplicates: float = 0.0
    shuffle: int = 0

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise ValueError("concurrency must be at least 1: nothing would ever be sent")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a load run is. `expected` is an estimate until the end: repeats fall by chance."""

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
    """Send the load and count what became of it; `on_progress` is called after every delivery.

    Events of one member may overtake each other, as they may in life. With a rate the load is
    open: a delivery is due at its time whether or not earlier ones were answered, and its
    acknowledgement is timed from when it was due, so that a slow receiver cannot hide its queue.
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
        async with asyncio.TaskGroup() as lanes:
            for _ in range(self._load.concurrency):
                lanes.create_task(self._lane())
        self._expected = self._tally.sent
        self._report()
        return self._tally.summary(self._elapsed())

    async def _lane(self) -> None:
        while (taken := await self._take()) is not None:
            event, due = taken
            receipt = await self._sender.send(event)
            self._tally.count(receipt, self._loop.time() - due)
            self._report()

    async def _take(self) -> tuple[PortalEvent, float] | None:
        # One lane at a time waits for the next due moment and only then draws the event, so that
        # no event is older than it must be when it leaves.
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
    on_receipt: Callable[[PortalEvent, Receipt], None] = lambda event, receipt: None,
    *,
    duplicates: float = 0.04,
    late: float = 0.04,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Deliver a change every `interval` seconds until cancelled, now and then twice or late.

    A receiver that cannot be reached is reported like any other refusal, and life goes on.
    """
    changes = _changes(portal)
    for event in disturbed(changes, duplicates, 2, seed=portal.seed, late=late):
        on_receipt(event, await sender.send(event))
        await pause(interval)


def _changes(portal: Portal, count: int | None = None) -> Iterator[PortalEvent]:
    times = repeat(None) if count is None else repeat(None, count)
    return (portal.next_change() for _ in times)
