"""What a viewer sees and what a filter lets through is said twice: as SQL about rows, and in Python
about the facts of a change. Both must say the same, or a subscription tells another story."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.database import Database
from db.feed.changes import changes_after
from db.queries.chapters.organizations import organization_ids
from db.queries.chapters.roles import role_catalogue
from db.queries.keyset import PageRequest
from db.queries.log.entries import EntryFilter, entry_count, entry_facts, entry_page
from db.queries.members.member_pages import MemberFilter, MemberOrder, member_count, member_page
from db.queries.members.member_records import member_records, saved_roles
from db.queries.members.visibility import EVERYTHING, Sight
from db.tables.facts import EntryFacts, MemberFacts
from db.vocabulary import (
    AccessLevel,
    ActivationState,
    EntryId,
    MemberId,
    OrganizationId,
    PortalId,
    Position,
    SyncOutcome,
    SyncStatus,
)
from sync.applying.draft import Catalogue, facts_of
from sync.recording.record import record_deliveries
from tests.support.builders import at, created, deactivated, guid, organization, role
from tests.support.opened import clear, opened
from tests.sync.recorded_events import RECEIVED, delivery, entries

PEOPLE = ["Kari", "Ola", "Åse", "Per"]
CHAPTERS = ["HLF", "HLF Viken", "HLF Oslo"]
CODES = ["member", "peer-mentor", "coordinator", "storyteller"]
PAGE = PageRequest(100)


@dataclass(frozen=True)
class Truth:
    """The facts of everything, as they are now."""

    members: dict[MemberId, MemberFacts]
    entries: dict[EntryId, EntryFacts]
    chapters: dict[str, OrganizationId]

    def chapter_ids(self, names: set[str]) -> frozenset[OrganizationId]:
        return frozenset(self.chapters.get(guid(name), OrganizationId(-1)) for name in names)


@dataclass(frozen=True)
class Stage:
    runner: asyncio.Runner
    database: Database

    def play(self, history: list[dict[str, Any]]) -> Truth:
        return self.runner.run(self._play(history))

    def seen_members(self, sight: Sight, filter: MemberFilter) -> tuple[set[MemberId], int]:
        """Who is on the page, and how many are counted."""
        return self.runner.run(self._seen_members(sight, filter))

    def seen_entries(self, sight: Sight, filter: EntryFilter) -> tuple[set[EntryId], int]:
        return self.runner.run(self._seen_entries(sight, filter))

    def last_told(self) -> dict[MemberId, MemberFacts | None]:
        """What the feed last told of each member."""
        return self.runner.run(self._last_told())

    async def _play(self, history: list[dict[str, Any]]) -> Truth:
        await clear(self.database)
        for n, event in enumerate(history):
            received_at = RECEIVED + timedelta(minutes=n)
            await record_deliveries(
                self.database, [delivery(event, f"evt_{n:02}", received_at=received_at)]
            )
        async with self.database.write() as session:
            ids = [PortalId(guid(name)) for name in PEOPLE]
            records = await session.find(member_records(ids))
            held = await session.find(saved_roles(ids))
            roles = await role_catalogue(session)
            chapters = await session.find(organization_ids([PortalId(guid(c)) for c in CHAPTERS]))
        for record in records:
            if record.id is not None:
                record.load_roles(held.get(record.id, {}))
        catalogue = Catalogue({}, {role.code: role for role in roles}, frozenset(), {})
        log = await entries(self.database)
        return Truth(
            {record.id: facts_of(record, catalogue) for record in records if record.id},
            {entry.id: entry_facts(entry) for entry in log},
            {str(portal_id): id for portal_id, id in chapters.items()},
        )

    async def _seen_members(self, sight: Sight, filter: MemberFilter) -> tuple[set[MemberId], int]:
        async with self.database.read() as session:
            page = await member_page(session, sight, filter, MemberOrder(), PAGE)
            return {row.id for row in page.rows}, await member_count(session, sight, filter)

    async def _seen_entries(self, sight: Sight, filter: EntryFilter) -> tuple[set[EntryId], int]:
        async with self.database.read() as session:
            page = await entry_page(session, sight, filter, PAGE)
            return {row.id for row in page.rows}, await entry_count(session, sight, filter)

    async def _last_told(self) -> dict[MemberId, MemberFacts | None]:
        async with self.database.read() as session:
            changes = await changes_after(session, Position(0), limit=1000)
        return {c.member_id: c.facts.member_after for c in changes if c.member_id is not None}


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    with asyncio.Runner() as runner:
        manager = opened(database_url)
        yield Stage(runner, runner.run(manager.__aenter__()))
        runner.run(manager.__aexit__(None, None, None))


chapters = st.sampled_from(CHAPTERS)
given_names = st.sampled_from(
    ["Kari", "KARI ANNE", "Åse", "Per_Olav", "50%", "O'Neill", "ﬁnn", "İ"]
)
held = st.lists(st.builds(role, st.sampled_from(CODES), st.none() | chapters), max_size=2)
histories = st.lists(
    st.builds(
        lambda type, name, minute, profile, data: {
            "type": type,
            "timestamp": at(minute),
            "data": {"member": {"id": guid(name), **profile}, **data},
        },
        st.sampled_from(
            [
                "membership-created",
                "membership-updated",
                "role-updated",
                "membership-deactivated",
                "membership-reactivated",
                "newsletter-opened",
            ]
        ),
        st.sampled_from(PEOPLE),
        st.integers(0, 9),
        st.fixed_dictionaries(
            {},
            optional={
                "givenName": given_names,
                "memberNumber": st.sampled_from(["1", "10", "X1"]),
                "email": st.sampled_from(["kari@example.no", "a_b@example.no"]),
            },
        ),
        # Without one of these some events are rejected, which the log has to tell as well.
        st.fixed_dictionaries(
            {}, optional={"organization": st.builds(organization, chapters), "roles": held}
        ),
    ),
    min_size=1,
    max_size=8,
)
words = "k kari KARI ari å Å A\u030a per_ p% % _ 50% o' 1 x kari@ @ \\ finn ﬁ i İ a_b aab"
searches = st.one_of(
    st.sampled_from(["", " ", "anne k", "k, anne", "10 ", *words.split()]),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=3),
)


def some(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A set of them, an empty one as well, or no such condition."""
    return st.none() | st.frozensets(strategy, max_size=3)


@st.composite
def sights(draw: st.DrawFn, truth: Truth) -> Sight:
    members = st.sampled_from(sorted(truth.members)) if truth.members else st.nothing()
    return Sight(
        all_members=draw(st.booleans()),
        all_entries=draw(st.booleans()),
        member_id=draw(st.none() | members),
        coordinated=truth.chapter_ids(draw(st.sets(chapters, max_size=2))),
        administered=truth.chapter_ids(draw(st.sets(chapters, max_size=2))),
    )


@st.composite
def member_filters(draw: st.DrawFn, truth: Truth) -> MemberFilter:
    times = [facts.updated_at for facts in truth.members.values()]
    within = draw(st.none() | st.sets(chapters, max_size=2))
    return MemberFilter(
        states=draw(some(st.sampled_from(ActivationState))),
        role_codes=draw(some(st.sampled_from([*CODES, "unheard-of"]))),
        access_levels=draw(some(st.sampled_from(AccessLevel))),
        search=draw(st.none() | searches),
        changed_since=draw(st.none() | _near(times)),
        organization_ids=None if within is None else truth.chapter_ids(within),
    )


@st.composite
def entry_filters(draw: st.DrawFn, truth: Truth) -> EntryFilter:
    times = [facts.received_at for facts in truth.entries.values()]
    within = draw(st.none() | st.sets(chapters, max_size=2))
    members = st.sampled_from(sorted(truth.members)) if truth.members else st.nothing()
    return EntryFilter(
        statuses=draw(some(st.sampled_from(SyncStatus))),
        outcomes=draw(some(st.sampled_from(SyncOutcome))),
        event_types=draw(some(st.sampled_from(["membership-created", "newsletter-opened"]))),
        sources=draw(some(st.sampled_from(["portal", "registry"]))),
        member_id=draw(st.none() | members),
        received_from=draw(st.none() | _near(times)),
        received_before=draw(st.none() | _near(times)),
        organization_ids=None if within is None else truth.chapter_ids(within),
    )


def _near(times: list[datetime]) -> st.SearchStrategy[datetime]:
    """One of these times, or a moment beside it."""
    if not times:
        return st.nothing()
    beside = st.sampled_from([-1, 0, 1]).map(lambda n: timedelta(microseconds=n))
    return st.builds(lambda time, step: time + step, st.sampled_from(sorted(times)), beside)


# Each example clears what the one before left.
many = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LOOKS = 5
"""At every history from several sides, since a look costs less than a history."""


@many
@given(history=histories, data=st.data())
def test_rows_and_facts_say_the_same_of_who_is_seen(
    stage: Stage, history: list[dict[str, Any]], data: st.DataObject
) -> None:
    truth = stage.play(history)

    for _ in range(LOOKS):
        sight = data.draw(sights(truth), "sight")
        filter = data.draw(member_filters(truth), "filter")
        seen, count = stage.seen_members(sight, filter)

        expected = {
            id
            for id, facts in truth.members.items()
            if sight.sees_member(id, facts.organization_ids) and filter.matches(facts)
        }
        assert seen == expected
        assert count == len(expected)


@many
@given(history=histories, data=st.data())
def test_rows_and_facts_say_the_same_of_which_entries_are_seen(
    stage: Stage, history: list[dict[str, Any]], data: st.DataObject
) -> None:
    truth = stage.play(history)

    for _ in range(LOOKS):
        sight = data.draw(sights(truth), "sight")
        filter = data.draw(entry_filters(truth), "filter")
        seen, count = stage.seen_entries(sight, filter)

        expected = {
            id
            for id, facts in truth.entries.items()
            if sight.sees_entry(facts.organization_id) and filter.matches(facts)
        }
        assert seen == expected
        assert count == len(expected)


@many
@given(history=histories)
def test_what_the_feed_last_told_of_a_member_is_how_the_member_is(
    stage: Stage, history: list[dict[str, Any]]
) -> None:
    truth = stage.play(history)

    assert stage.last_told() == truth.members


def test_whoever_is_inactive_has_no_access_whatever_their_roles(stage: Stage) -> None:
    truth = stage.play(
        [
            created(roles=[role("coordinator")]),
            deactivated(),
            created("Ola", roles=[role("member")]),
        ]
    )
    (kari,) = (id for id, facts in truth.members.items() if facts.role_codes == ("coordinator",))

    for level in AccessLevel:
        filter = MemberFilter(access_levels=frozenset({level}))
        seen, _ = stage.seen_members(EVERYTHING, filter)
        assert seen == {id for id, facts in truth.members.items() if filter.matches(facts)}
        assert (kari in seen) == (level is AccessLevel.NONE)
