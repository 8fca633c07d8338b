"""The law: every order and every repetition of the same events, and whatever happens at the same
time, ends in the same world."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from db.database import Database
from sync.events import CORRECTION
from sync.recording.record import record_deliveries
from sync.recording.replay import ReplayRequest, replay_entries
from tests.support.builders import at, guid
from tests.support.opened import clear, opened
from tests.sync.model import PROFILE, READ_AS, Told, rights_in, world_after
from tests.sync.recorded_events import (
    RECEIVED,
    Rights,
    World,
    delivery,
    entries,
    rights_of,
    world_of,
)

MEMBERS = [guid(name) for name in ("Kari", "Ola", "Åse", "Siv")]
CHAPTERS = [guid(name) for name in ("HLF", "HLF Viken", "HLF Oslo")]
NATIONAL_BODY = CHAPTERS[0]
CODES = ["member", "peer-mentor", "coordinator", "storyteller"]

Plan = list[list[Told]]
"""Batches, one transaction each; an empty one stands for a replay of everything until then."""


@dataclass(frozen=True)
class Ending:
    world: World
    rights: Rights
    deliveries: dict[tuple[str, str], int]


class Stage:
    """A database on which a history can be played again and again, and the same as another process
    would have it."""

    def __init__(self, runner: asyncio.Runner, database: Database, elsewhere: Database) -> None:
        self._runner = runner
        self._database = database
        self._elsewhere = elsewhere

    def play(self, plan: Plan, *, at_once: bool = False) -> Ending:
        return self._runner.run(self._play(plan, at_once=at_once))

    async def _play(self, plan: Plan, *, at_once: bool) -> Ending:
        await clear(self._database)
        if at_once:
            processes = cycle([self._database, self._elsewhere])
            await asyncio.gather(*map(self._record, plan, processes))
        else:
            for batch in plan:
                await self._record(batch, self._database)
        log = await entries(self._database)
        world = await world_of(self._database)
        return Ending(
            world,
            await rights_of(self._database, world.people, NATIONAL_BODY),
            {(entry.source, entry.event_id): entry.deliveries for entry in log},
        )

    async def _record(self, batch: list[Told], database: Database) -> None:
        if not batch:
            ids = [entry.id for entry in await entries(database)]
            await replay_entries(database, ids, ReplayRequest("the law"), lambda: RECEIVED)
            return
        told = [delivery(one.event, one.event_id, source=one.source) for one in batch]
        await record_deliveries(database, told)


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    with asyncio.Runner() as runner:
        managers = [opened(database_url), opened(database_url)]
        yield Stage(runner, *(runner.run(manager.__aenter__()) for manager in managers))
        for manager in managers:
            runner.run(manager.__aexit__(None, None, None))


# Few of them, so that many are equal.
times = st.integers(0, 4).map(at)
sequences = st.sampled_from([0, 1, "2", 10, 2**63 - 1])
maybe_text = st.none() | st.sampled_from(["Kari", "Åse", "x", *READ_AS])
# Nothing that is wrong with a reason matters.
reasons: st.SearchStrategy[Any] = st.sampled_from(["Moved", "Mo\nved", "x" * 1001, 7, {}, None])
profiles = st.dictionaries(st.sampled_from(PROFILE), maybe_text)
homes = st.fixed_dictionaries(
    {"id": st.sampled_from(CHAPTERS)},
    optional={
        "name": st.sampled_from(["HLF", "HLF Oslo", "Oslo og omegn"]),
        "parentId": st.none() | st.sampled_from(CHAPTERS),
        "closed": st.booleans(),
    },
)
roles = st.lists(
    st.fixed_dictionaries(
        {"code": st.sampled_from(CODES)}, optional={"organizationId": st.sampled_from(CHAPTERS)}
    ),
    max_size=3,
)


def events() -> st.SearchStrategy[dict[str, Any]]:
    some_home = {"organization": homes}
    return st.one_of(
        _event("membership-created", some_home, {"roles": roles}),
        _event("membership-updated", {}, {"organization": homes | st.none()}),
        _event("role-updated", {"roles": roles}, some_home),
        _event("membership-deactivated", {}, {**some_home, "reason": reasons}),
        _event("membership-reactivated", {}, some_home),
        _event("membership-merged", {"mergedId": st.sampled_from(MEMBERS)}, some_home).filter(
            lambda event: event["data"]["mergedId"] != event["data"]["member"]["id"]
        ),
        _event(
            "membership-stated",
            {},
            {
                "organization": homes | st.none(),
                "roles": roles,
                "state": st.sampled_from(["ACTIVE", "INACTIVE"]),
                "reason": reasons,
            },
        ),
        st.fixed_dictionaries(
            {
                "type": st.just("organization-updated"),
                "timestamp": times,
                "data": st.fixed_dictionaries({"organization": homes}),
            },
            optional={"sequence": sequences},
        ),
    )


def _event(
    type: str,
    required: dict[str, st.SearchStrategy[Any]],
    optional: dict[str, st.SearchStrategy[Any]],
) -> st.SearchStrategy[dict[str, Any]]:
    member = st.builds(
        lambda id, profile: {"id": id, **profile}, st.sampled_from(MEMBERS), profiles
    )
    return st.fixed_dictionaries(
        {
            "type": st.just(type),
            "timestamp": times,
            "data": st.fixed_dictionaries({"member": member, **required}, optional=optional),
        },
        optional={"sequence": sequences},
    )


histories = st.lists(
    st.builds(
        Told,
        st.sampled_from(["portal", "registry", CORRECTION]),
        st.integers(0, 99).map("evt_{}".format),
        events(),
    ),
    min_size=1,
    max_size=9,
    unique_by=lambda told: (told.source, told.event_id),
)


@st.composite
def plans(draw: st.DrawFn, history: Sequence[Told]) -> Plan:
    """Everything at least once, some of it again, in any order and in batches of any size, with
    replays in between."""
    repeated = draw(st.lists(st.sampled_from(history), max_size=3))
    deliveries = iter(draw(st.permutations([*history, *repeated])))
    plan = []
    while batch := list(islice(deliveries, draw(st.integers(1, 5)))):
        plan.append(batch)
        if draw(st.integers(0, 3)) == 3:
            plan.append([])
    return plan


def test_every_order_and_repetition_of_a_history_ends_in_the_same_world(
    stage: Stage, histories_played: int
) -> None:
    @settings(max_examples=histories_played, deadline=None, database=None)
    @given(data=st.data())
    def law(data: st.DataObject) -> None:
        _holds_for_a_history(stage, data)

    law()


def _holds_for_a_history(stage: Stage, data: st.DataObject) -> None:
    history = data.draw(histories, "history")
    plan, other_plan = (data.draw(plans(history), name) for name in ("plan", "other plan"))
    expected = world_after(history)
    event(f"{len(history)} events")

    ending, other_ending = stage.play(plan), stage.play(other_plan)
    crowded = stage.play(other_plan, at_once=True)

    assert ending.world == expected
    assert other_ending.world == ending.world
    assert crowded.world == ending.world
    assert ending.rights == rights_in(expected, NATIONAL_BODY)
    assert other_ending.rights == crowded.rights == ending.rights
    assert crowded.deliveries == _deliveries(other_plan)
    assert ending.deliveries == _deliveries(plan)
    assert other_ending.deliveries == _deliveries(other_plan)


def _deliveries(plan: Plan) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = {}
    for one in (one for batch in plan for one in batch):
        key = one.source, one.event_id
        counts[key] = counts.get(key, 0) + 1
    return counts
