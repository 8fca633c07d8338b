"""Pages are walked while several senders change the list, all the time and without waiting for each
other: who was there all along is met exactly once, in the right place."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tests.support.builders import created, deactivated, reactivated, updated
from tests.support.service import Service

STAYERS = 16
SENDERS = 4
CHANGES = 10
"""Of each sender."""

LIST = """{
      edges { node { %s } }
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }"""
MEMBERS = f"""query (
    $first: Int, $after: String, $last: Int, $before: String, $order: MemberOrder) {{
    list: members(first: $first, after: $after, last: $last, before: $before, orderBy: $order,
      filter: {{state: ACTIVE}}) {LIST % "key: email"} }}"""
LOG = f"""query ($first: Int, $after: String, $last: Int, $before: String) {{
    list: syncLog(first: $first, after: $after, last: $last, before: $before)
      {LIST % "key: eventId"} }}"""


@dataclass
class Walk:
    """From one end of a list to the other; `stayers` is whom it must meet, in that order."""

    stayers: list[str]
    query: str = MEMBERS
    size: int = 3
    backward: bool = False
    variables: dict[str, Any] = field(default_factory=dict)

    async def meet(self, service: Service) -> list[str]:
        size, place, cursor, more = (
            ("last", "before", "startCursor", "hasPreviousPage")
            if self.backward
            else ("first", "after", "endCursor", "hasNextPage")
        )
        met: list[str] = []
        position = None
        while True:
            given = {**self.variables, size: self.size, place: position}
            found = (await service.data(self.query, **given))["list"]
            keys = [edge["node"]["key"] for edge in found["edges"]]
            met = keys + met if self.backward else met + keys
            if not found["pageInfo"][more]:
                return met
            position = found["pageInfo"][cursor]


def mail(name: str) -> str:
    return f"{name}@example.no"


def stayer(number: int) -> dict[str, Any]:
    """Two of each name and number, so that ids have to break the tie."""
    profile = {"familyName": f"M{number // 2:02}", "memberNumber": f"{number // 2}"}
    name = f"stayer{number:02}"
    return created(name, profile={**profile, "email": mail(name)})


def walks(log: list[str]) -> Iterator[Walk]:
    chance = random.Random(1)  # noqa: S311  (the same every time)
    everybody = [mail(f"stayer{number:02}") for number in range(STAYERS)]
    backward = False
    for by in ("NAME", "MEMBER_NUMBER", "UPDATED_AT"):
        for direction in ("ASC", "DESC"):
            order = {"order": {"field": by, "direction": direction}}
            stayers = everybody if direction == "ASC" else everybody[::-1]
            yield Walk(stayers, MEMBERS, chance.randint(2, 6), backward, order)
            backward = not backward
        # So that each way is walked backward by one field or another.
        backward = not backward
    yield Walk(log[::-1], LOG, 3)
    yield Walk(log[::-1], LOG, 3, backward=True)


def changes(sender: int) -> Iterator[dict[str, Any]]:
    """Others arrive anywhere in the list, move, leave and return."""
    chance = random.Random(sender)  # noqa: S311  (the same every time)
    here: list[str] = []
    gone: list[str] = []
    for when in count(1):
        place = chance.randint(-1, STAYERS // 2)
        profile = {"familyName": f"M{place:02}", "memberNumber": f"{max(place, 0)}"}
        kind = chance.choice(("arrive", "arrive", "move", "move", "leave", "return"))
        if kind == "move" and here:
            yield updated(chance.choice(here), when, profile=profile)
        elif kind == "leave" and here:
            gone.append(here.pop(chance.randrange(len(here))))
            yield deactivated(gone[-1], when)
        elif kind == "return" and gone:
            here.append(gone.pop())
            yield reactivated(here[-1], when)
        else:
            name = f"goer{sender}x{when}"
            here.append(name)
            yield created(name, when, profile={**profile, "email": mail(name)})


async def test_walk_meets_who_stays_exactly_once_while_others_change_the_list(
    service: Service,
) -> None:
    log = [f"evt_{number:02}" for number in range(STAYERS)]
    for number, event_id in enumerate(log):
        await service.deliver(stayer(number), event_id)
    told = 0
    over = asyncio.Event()

    async def send(sender: int) -> None:
        nonlocal told
        for _, change in zip(range(CHANGES), changes(sender), strict=False):
            await service.tell(change)
            told += 1

    async def send_all() -> None:
        try:
            await asyncio.gather(*(send(sender) for sender in range(SENDERS)))
        finally:
            over.set()

    async def walk(walk: Walk) -> int:
        """How many walks saw changes while they were under way."""
        disturbed = 0
        while not over.is_set():
            before = told
            met = await walk.meet(service)
            assert [key for key in met if key in walk.stayers] == walk.stayers, walk
            disturbed += told > before
        return disturbed

    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(send_all())
        walking = [tasks.create_task(walk(one)) for one in walks(log)]

    assert sending.done()
    assert all(one.result() for one in walking)
