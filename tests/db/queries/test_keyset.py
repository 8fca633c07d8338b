"""Keyset pages: whatever their size and direction, one after the other they are the whole list."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update

from db.database import Database
from db.queries.collation import collation_key
from db.queries.keyset import KeyValues, PageRequest, Slice
from db.queries.members.member_pages import (
    MemberFilter,
    MemberOrder,
    MemberOrderField,
    MemberRow,
    member_page,
)
from db.queries.members.visibility import EVERYTHING
from db.queries.text_keys import number_key
from db.tables.models import Member, RoleAssignment, SyncLogEntry
from sync.recording.record import record_deliveries
from tests.support.builders import created, guid
from tests.support.opened import clear, opened
from tests.sync.recorded_events import delivery

NAMES_OF = {guid(f"{kind}{n}"): f"{kind}{n}" for kind in "MN" for n in range(100)}


def name_of(portal_id: str) -> str:
    return NAMES_OF[portal_id]


@dataclass(frozen=True)
class Register:
    """A database that is filled anew for every example."""

    runner: asyncio.Runner
    database: Database

    def fill(self, people: list[dict[str, str]]) -> None:
        self.runner.run(self._fill(people))

    async def _fill(self, people: list[dict[str, str]]) -> None:
        await clear(self.database)
        # Two transactions, so that there are two times of change.
        half = len(people) // 2
        for numbers in (range(half), range(half, len(people))):
            await record_deliveries(
                self.database,
                [delivery(created(f"M{n}", profile=people[n]), f"evt_{n:02}") for n in numbers],
            )

    def disturb(self, event: "Disturbance", who: str, number: int) -> None:
        self.runner.run(self._disturb(event, who, number))

    async def _disturb(self, event: "Disturbance", who: str, number: int) -> None:
        if event.kind == "leave":
            async with self.database.write() as session:
                gone = select(Member.id).where(Member.portal_id == guid(who)).scalar_subquery()
                await session.run(delete(RoleAssignment).where(RoleAssignment.member_id == gone))
                await session.run(
                    update(SyncLogEntry)
                    .where(SyncLogEntry.member_id == gone)
                    .values(member_id=None)
                )
                await session.run(delete(Member).where(Member.portal_id == guid(who)))
            return
        profile = {"familyName": event.name, "memberNumber": event.name}
        body = created(who, number, profile=profile)
        await record_deliveries(self.database, [delivery(body, f"evt_between_{number:03}")])

    def page(self, order: MemberOrder, request: PageRequest) -> Slice[MemberRow]:
        return self.runner.run(self._page(order, request))

    async def _page(self, order: MemberOrder, request: PageRequest) -> Slice[MemberRow]:
        async with self.database.read() as session:
            return await member_page(session, EVERYTHING, MemberFilter(), order, request)

    def pages(self, order: MemberOrder, size: int, *, backward: bool) -> list[Slice[MemberRow]]:
        """From one end to the other, in the order they were read."""
        pages: list[Slice[MemberRow]] = []
        start: KeyValues | None = None
        while True:
            page = self.page(order, PageRequest(size, start, backward))
            pages.append(page)
            if not (page.has_previous if backward else page.has_next):
                return pages
            start = page.keys[0 if backward else -1]


@pytest.fixture
def register(database_url: str) -> Iterator[Register]:
    with asyncio.Runner() as runner:
        manager = opened(database_url)
        yield Register(runner, runner.run(manager.__aenter__()))
        runner.run(manager.__aexit__(None, None, None))


names = st.sampled_from(["Aas", "Ås", "Åse", "ås", "Ødegård", "Zahl", "Æra", "de Vries", "", "a b"])
people = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "givenName": names,
            "familyName": names | st.text(st.characters(categories=["L"]), max_size=4),
            "memberNumber": st.sampled_from(["1", "9", "10", "099", "104233", "X1", "x1", ""]),
        },
    ),
    max_size=12,
)
orders = st.builds(MemberOrder, st.sampled_from(MemberOrderField), st.booleans())
# Each example clears what the one before left.
many = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@many
@given(people=people, order=orders, size=st.integers(1, 5), backward=st.booleans())
def test_pages_one_after_the_other_are_the_whole_list_in_order(
    register: Register, people: list[dict[str, str]], order: MemberOrder, size: int, backward: bool
) -> None:
    register.fill(people)

    pages = register.pages(order, size, backward=backward)

    if backward:
        pages.reverse()
    rows = [row for page in pages for row in page.rows]
    assert rows == _in_order(rows, order)
    assert len({row.id for row in rows}) == len(rows) == len(people)
    assert all(len(page.rows) == size for page in (pages[1:] if backward else pages[:-1]))


@many
@given(people=people.filter(bool), order=orders, data=st.data())
def test_page_after_a_row_and_page_before_it_meet_there(
    register: Register, people: list[dict[str, str]], order: MemberOrder, data: st.DataObject
) -> None:
    register.fill(people)
    everybody = register.page(order, PageRequest(100))
    at = data.draw(st.integers(0, len(people) - 1), "at")
    start = everybody.keys[at]

    after = register.page(order, PageRequest(100, start))
    before = register.page(order, PageRequest(100, start, backward=True))

    assert [*before.rows, everybody.rows[at], *after.rows] == everybody.rows
    assert after.has_previous
    assert before.has_next


def _in_order(rows: list[MemberRow], order: MemberOrder) -> list[MemberRow]:
    """As Python sorts them."""
    return sorted(rows, key=lambda row: (_key(row, order.field), row.id), reverse=order.descending)


def _key(row: MemberRow, field: MemberOrderField) -> bytes:
    if field is MemberOrderField.NAME:
        return collation_key(row.family_name, row.given_name).encode()
    if field is MemberOrderField.MEMBER_NUMBER:
        return number_key(row.member_number).encode()
    return row.updated_at.isoformat(timespec="microseconds").encode()


def test_names_are_in_norwegian_order_and_numbers_in_the_order_of_numbers(
    register: Register,
) -> None:
    names = ["Ås", "Zahl", "Ødegård", "Aas", "Æra", "Berg"]
    numbers = ["104233", "99", "100", "X1", "7", "1000"]
    register.fill(
        [
            {"familyName": name, "memberNumber": number}
            for name, number in zip(names, numbers, strict=True)
        ]
    )

    by_name = register.page(MemberOrder(), PageRequest(10))
    by_number = register.page(MemberOrder(MemberOrderField.MEMBER_NUMBER), PageRequest(10))

    ordered = [row.family_name for row in by_name.rows]
    assert ordered == ["Berg", "Zahl", "Æra", "Ødegård", "Ås", "Aas"]
    assert [row.member_number for row in by_number.rows] == [
        "7",
        "99",
        "100",
        "1000",
        "104233",
        "X1",
    ]


@dataclass(frozen=True)
class Disturbance:
    """What happens between two pages: somebody joins, is gone, or is renamed."""

    kind: str
    who: int
    name: str


disturbances = st.lists(
    st.builds(
        Disturbance,
        st.sampled_from(["join", "leave", "rename"]),
        st.integers(0, 9),
        names,
    ),
    max_size=4,
)


@given(
    people=st.lists(names, min_size=1, max_size=10),
    between=st.lists(disturbances, min_size=1, max_size=12),
    size=st.integers(1, 4),
    order=st.builds(MemberOrder, st.sampled_from(MemberOrderField), st.booleans()),
    backward=st.booleans(),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whoever_stayed_where_they_were_is_seen_once_whatever_happens_between_the_pages(
    register: Register,
    people: list[str],
    between: list[list[Disturbance]],
    size: int,
    order: MemberOrder,
    backward: bool,
) -> None:
    register.fill([{"familyName": name, "memberNumber": name} for name in people])
    stayed = {f"M{n}" for n in range(len(people))}
    there = set(stayed)
    seen: list[str] = []
    start: KeyValues | None = None
    events = iter(between)
    number = 0
    while True:
        page = register.page(order, PageRequest(size, start, backward))
        found = [name_of(row.portal_id) for row in page.rows]
        seen = [*found, *seen] if backward else [*seen, *found]
        if not (page.has_previous if backward else page.has_next):
            break
        start = page.keys[0 if backward else -1]
        for event in next(events, []):
            number += 1
            who = f"M{event.who}"
            if event.kind == "join":
                who = f"N{number}"
            elif who not in there:
                continue
            register.disturb(event, who, number)
            stayed.discard(who)
            if event.kind == "leave":
                there.discard(who)

    assert sorted(name for name in seen if name in stayed) == sorted(stayed)
