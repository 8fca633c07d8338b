"""Whoever is forgotten is in no table and no byte of the database, and does not come back."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from db.database import Database
from db.driver.urls import sqlite_file
from db.queries.chapters.national_body import NationalBody
from db.queries.log.traces import ELSEWHERE, POINTERS
from db.tables.data_map import DATA_MAP, Erasure
from db.tables.models import Base
from db.vocabulary import SyncOutcome, SyncStatus
from sync.correcting.corrections import Correction, correct_membership
from sync.correcting.forgetting_persons import forget_person
from sync.errors import ForgettingFault, ForgettingRefusedError
from sync.recording.record import record_deliveries
from tests.support.builders import (
    created,
    deactivated,
    event,
    guid,
    role,
    role_updated,
    updated,
)
from tests.support.opened import clear, opened
from tests.sync.recorded_events import (
    changes_of,
    delivery,
    entry,
    record,
    record_all,
    world_of,
)

SECRETS = ("Hemmelig", "hemmelig@example.no", "+4790000000", "104233", "hun ba om det")
KARI = guid("Kari")
PROFILE = {
    "givenName": "Kari",
    "familyName": "Hemmelig",
    "email": "hemmelig@example.no",
    "phone": "+4790000000",
    "memberNumber": "104233",
}
HISTORY = (
    created("Kari", 0, profile=PROFILE, roles=[role("coordinator")]),
    updated("Kari", 5, profile={"givenName": "Kari Hemmelig"}),
    deactivated("Kari", 10, reason="hun ba om det"),
    {**updated("Kari", 12, profile=PROFILE), "type": "role-updated"},
    {"type": "unheard-of", "data": {"member": {"id": KARI.upper(), **PROFILE}}},
)


def erased(member: str = "Kari", when: float = 20) -> dict[str, Any]:
    return event("membership-erased", member, when)


async def told(database: Database) -> str:
    """Everything that stands in any table, as text."""
    rows: list[Any] = []
    async with database.read() as session:
        for table in Base.metadata.sorted_tables:
            if table.name not in ELSEWHERE - {"changes"}:
                rows += [tuple(row) for row in await session.all(select(*table.columns))]
    return repr(rows)


async def forget(database: Database, reason: str = "Case 2026/17.", **options: Any) -> str:
    forgotten = await forget_person(
        database,
        KARI,
        reason,
        "ops",
        lambda: datetime.now(UTC),
        national_body=NationalBody(None, guessed=True),
        **options,
    )
    return forgotten.report


async def test_nothing_of_the_person_is_left_in_any_table(database: Database) -> None:
    await record_all(database, *HISTORY, created("Ola", 0))
    before = await told(database)
    assert [text for text in (*SECRETS, KARI) if text not in before] == []

    await record(database, erased(), "gone")

    after = (await told(database)).casefold()
    assert [text for text in (*SECRETS, KARI) if text.casefold() in after] == []
    assert (await world_of(database)).people.keys() == {guid("Ola")}
    told_of = await entry(database, "gone")
    assert (told_of.status, told_of.outcome) == (SyncStatus.SUCCESS, SyncOutcome.DEACTIVATED)
    assert "members 1" in (told_of.detail or "")


async def test_nothing_of_the_person_is_left_in_the_files_of_sqlite(sqlite_url: str) -> None:
    file = sqlite_file(sqlite_url)
    assert file is not None

    def held() -> bytes:
        return b"".join(one.read_bytes() for one in sorted(file.parent.glob(f"{file.name}*")))

    async with opened(sqlite_url) as database:
        await record_all(database, *HISTORY)
        before = await asyncio.to_thread(held)

        await forget(database)

        after = (await asyncio.to_thread(held)).lower()
    assert [text for text in (*SECRETS, KARI) if text.encode() not in before] == []
    assert [text for text in (*SECRETS, KARI) if text.lower().encode() in after] == []


async def test_command_tells_before_what_would_go(database: Database) -> None:
    await record_all(database, *HISTORY)
    before = await told(database)

    expected = await forget(database, dry_run=True)

    assert await told(database) == before
    assert await forget(database) == expected


@pytest.mark.parametrize(
    "late",
    [
        HISTORY[0],
        updated("Kari", 30, profile={"familyName": "Hemmelig"}),
        role_updated("Kari", 30, roles=[role("coordinator")]),
        deactivated("Kari", 30, reason="hun ba om det"),
        {**updated("Kari", 30, profile=PROFILE, state="ACTIVE"), "type": "membership-stated"},
    ],
)
async def test_person_does_not_come_back(database: Database, late: dict[str, Any]) -> None:
    await record_all(database, *HISTORY)
    await record(database, erased(), "gone")

    receipt = await record(database, late, "late")

    assert receipt.status is SyncStatus.SKIPPED
    assert (await world_of(database)).people == {}
    after = await told(database)
    assert [text for text in SECRETS if text in after] == []


async def test_portal_begins_the_person_anew(database: Database) -> None:
    await record_all(database, *HISTORY)
    await record(database, erased(), "gone")

    receipt = await record(database, created("Kari", 30), "anew")

    assert receipt.outcome is SyncOutcome.CREATED
    assert (await world_of(database)).person().profile["phone"] is None


async def test_all_ids_of_a_person_are_forgotten(database: Database) -> None:
    merged = event("membership-merged", "Kari", 2, mergedId=guid("Kari K."))
    await record_all(database, created("Kari K.", 0), created("Kari", 1), merged)

    await record(database, erased("Kari K."), "gone")
    await record(database, updated("Kari", 3), "late")

    assert (await world_of(database)).people == {}


async def test_correction_goes_as_well(database: Database) -> None:
    await record_all(database, *HISTORY)
    await correct_membership(
        database,
        Correction(KARI, "hun ba om det", profile={"phone": "+4790000001"}),
        "ops",
        lambda: datetime.now(UTC),
        national_body=NationalBody(None, guessed=True),
    )

    await forget(database)

    after = await told(database)
    assert [text for text in SECRETS if text in after] == []


@pytest.mark.parametrize("reason", ["", "x" * 1001, "Kari HEMMELIG asked for it.", KARI])
async def test_reason_must_be_given_and_not_tell_who_it_is(database: Database, reason: str) -> None:
    await record_all(database, *HISTORY)

    with pytest.raises(ForgettingRefusedError) as refused:
        await forget(database, reason)

    assert refused.value.field == "reason"
    assert (await world_of(database)).people.keys() == {KARI}


async def test_last_administrator_of_the_national_body_stays(database: Database) -> None:
    admin = created("Kari", 0, roles=[role("organization-administrator")])
    await record_all(
        database,
        admin,
        created("Ola", 0, organization={"id": guid("HLF Moss"), "parentId": guid("HLF Oslo")}),
    )

    with pytest.raises(ForgettingRefusedError) as refused:
        await forget(database)

    assert refused.value.fault is ForgettingFault.LAST_ADMINISTRATOR
    assert KARI in (await world_of(database)).people


async def test_followers_are_told_without_being_told_who_it_was(database: Database) -> None:
    await record_all(database, *HISTORY)

    await record(database, erased(), "gone")

    (end,) = [one for one in await changes_of(database) if one.facts.forgotten]
    assert end.member_id is not None
    assert end.facts.member_before is not None
    assert (end.facts.member_before.search_text, end.facts.member_after) == ("", None)


async def test_number_of_a_forgotten_person_is_given_to_nobody(database: Database) -> None:
    await record_all(database, *HISTORY, erased(), created("Ola", 30))

    numbers = [
        one.member_id
        for one in await changes_of(database)
        if one.member_id is not None and one.facts.member_before is None
    ]

    assert len(numbers) == len(set(numbers)) == 2


def test_every_table_that_forgetting_touches_says_whom_its_rows_are_about() -> None:
    for table, columns in DATA_MAP.items():
        for column, handling in columns.items():
            if handling.erasure is not Erasure.KEEP and table not in ELSEWHERE:
                assert table in POINTERS or f"{table}.{column}" in POINTERS


EVENTS = st.one_of(
    st.builds(
        lambda when, number: created(
            "Kari", when, profile={"givenName": f"Kari {number}", "phone": None}
        ),
        st.integers(0, 60),
        st.integers(0, 3),
    ),
    st.builds(
        lambda when, number: updated("Kari", when, profile={"familyName": f"Nordmann {number}"}),
        st.integers(0, 30),
        st.integers(0, 3),
    ),
    st.builds(
        lambda when, code: role_updated("Kari", when, roles=[role(code)]),
        st.integers(0, 30),
        st.sampled_from(["member", "coordinator"]),
    ),
    st.builds(lambda when: deactivated("Kari", when), st.integers(0, 30)),
    st.builds(lambda when: erased("Kari", when), st.integers(0, 30)),
)


async def _end_of(
    database: Database, history: Sequence[tuple[int, dict[str, Any]]], size: int
) -> object:
    await clear(database)
    for start in range(0, len(history), size):
        some = history[start : start + size]
        await record_deliveries(database, [delivery(one, f"evt_{n:03}") for n, one in some])
    return (await world_of(database)).people


def test_forgetting_anywhere_in_any_order_ends_the_same(database_url: str) -> None:
    with asyncio.Runner() as runner:

        @settings(max_examples=25, deadline=None, phases=[Phase.generate])
        @given(data=st.data(), events=st.lists(EVENTS, min_size=2, max_size=9))
        def law(data: st.DataObject, events: list[dict[str, Any]]) -> None:
            history = list(enumerate([*events, erased("Kari", 30)]))
            other = data.draw(st.permutations(history))
            size = data.draw(st.integers(1, 4))

            async def ends() -> tuple[object, object]:
                async with opened(database_url) as database:
                    return (
                        await _end_of(database, history, 1),
                        await _end_of(database, other, size),
                    )

            one, another = runner.run(ends())
            assert one == another

        law()
