"""Repeats events and changes their order, as happens between a portal and its receiver."""

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from itertools import count
from random import Random

from sync.simulator.event_bodies import PortalEvent


def disturbed(
    events: Iterable[PortalEvent],
    duplicates: float,
    shuffle: int,
    *,
    seed: int = 0,
    late: float = 0.5,
) -> Iterator[PortalEvent]:
    """Yields the events, a share of them twice and a share of them out of order.

    `late` is the share of events that up to `shuffle` later ones overtake; a repetition follows at
    most `shuffle` places later. Works on endless iterables, holds about `shuffle` events at most,
    and loses none.
    """
    chance = Random(seed)  # noqa: S311 — a simulation must be repeatable; nothing is secret
    tickets = count()
    held: list[tuple[int, int, PortalEvent]] = []
    for place, event in enumerate(events):
        if shuffle and chance.random() < late:
            heappush(held, (place + chance.randint(1, shuffle), next(tickets), event))
        else:
            yield event
        if chance.random() < duplicates:
            heappush(held, (place + chance.randint(0, shuffle), next(tickets), event))
        while held and held[0][0] <= place:
            yield heappop(held)[2]
    while held:
        yield heappop(held)[2]
