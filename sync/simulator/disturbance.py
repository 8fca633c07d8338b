"""What happens to events between a portal and its receiver: repeats and overtaking, never loss."""

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
    """The same events, a share of them twice and a share of them out of order.

    `late` is the share held back until up to `shuffle` later events have overtaken them; a
    repeat comes at most `shuffle` places after its turn. Works on endless streams, holds at most
    about `shuffle` events, and yields all of them at the end of a finite one.
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
