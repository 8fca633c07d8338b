"""A file of members compared with what is known: what becomes of them, and what is held back."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from db.database import Database
from db.queries.chapters.national_body import NationalBody
from db.queries.runs.reconciliations import run_by_id
from db.tables.models import DriftLine, ReconciliationRow, SyncAttempt
from db.vocabulary import (
    ActivationState,
    AttemptTrigger,
    DriftAction,
    ReconciliationKind,
    ReconciliationStatus,
)
from sync.correcting.corrections import Correction, correct_membership
from sync.reconcile.files import read_lines
from sync.reconcile.guard import Guard
from sync.reconcile.runs import Options, Report, Request, reconcile, recorded_run
from sync.recording.deliveries import read_delivery
from sync.recording.record import record_deliveries
from tests.support.builders import body_of, created, deactivated, event, guid, updated
from tests.support.opened import rows_without_runs
from tests.sync.recorded_events import entries, world_of

ACTIVE, INACTIVE = ActivationState.ACTIVE, ActivationState.INACTIVE
AT = datetime(2024, 12, 1, 12, 0, tzinfo=UTC)
HEADER = "portalId,givenName,phone,organizationId,roles,state"


def row(name: str, phone: str = "1", home: str = "HLF Oslo", **given: str) -> str:
    roles, state = given.get("roles", "member"), given.get("state", "ACTIVE")
    return f"{guid(name)},{name},{phone},{guid(home)},{roles},{state}"


async def run(
    database: Database, folder: Path, rows: Sequence[str], guard: Guard | None = None, **given: Any
) -> Report:
    file = folder / "members.csv"
    file.write_text("\n".join([HEADER, *rows, ""]), encoding="utf-8")
    at = given.pop("at", AT)
    lines = partial(read_lines, file, at)
    request = Request("min-side", lines, "the file members.csv", at, Options(**given))
    return await reconcile(database, request, guard or Guard(), lambda: datetime.now(UTC))


async def tell(database: Database, *events: dict[str, Any], source: str = "min-side") -> None:
    for told in events:
        body = body_of(told)
        delivery = read_delivery(source, f"evt_{hash(body)}", datetime.now(UTC), body)
        await record_deliveries(database, [delivery])


async def test_first_load_creates_everybody(database: Database, tmp_path: Path) -> None:
    report = await run(database, tmp_path, [row("Kari"), row("Per", home="HLF Bergen")])

    world = await world_of(database)
    assert (report.read, report.new) == (2, 2)
    assert world.person("Kari").profile["givenName"] == "Kari"
    assert world.person("Per").home == guid("HLF Bergen")
    assert all(person.state is ACTIVE for person in world.people.values())


async def test_run_with_nothing_to_do_writes_nothing(database: Database, tmp_path: Path) -> None:
    rows = [row("Kari"), row("Per")]
    await run(database, tmp_path, rows)
    before = await rows_without_runs(database)

    report = await run(database, tmp_path, rows)

    assert report.equal == 2
    assert await rows_without_runs(database) == before


async def test_difference_is_an_event_of_the_source_that_says_what_caused_it(
    database: Database, tmp_path: Path
) -> None:
    await run(database, tmp_path, [row("Kari"), row("Per")])

    report = await run(
        database,
        tmp_path,
        [row("Kari", phone="2"), row("Per")],
        at=datetime(2024, 12, 2, tzinfo=UTC),
    )

    assert (report.changed, report.equal) == (1, 1)
    newest, *_ = await entries(database)
    assert (newest.source, newest.event_type) == ("min-side", "membership-stated")
    assert [change.field for change in newest.field_changes] == ["phone"]
    async with database.read() as session:
        triggers = await session.all(select(SyncAttempt.trigger).distinct())
    assert {trigger for (trigger,) in triggers} == {AttemptTrigger.RECONCILIATION}


async def test_who_is_not_in_a_complete_file_is_no_member(
    database: Database, tmp_path: Path
) -> None:
    await run(database, tmp_path, [row("Kari"), row("Per")])

    report = await run(database, tmp_path, [row("Kari")], at=datetime(2024, 12, 2, tzinfo=UTC))

    world = await world_of(database)
    assert (report.missing_there, report.deactivated) == (1, 1)
    assert (world.person("Kari").state, world.person("Per").state) == (ACTIVE, INACTIVE)


async def test_who_is_not_in_a_partial_file_stays(database: Database, tmp_path: Path) -> None:
    await run(database, tmp_path, [row("Kari"), row("Per")])

    await run(
        database, tmp_path, [row("Kari")], complete=False, at=datetime(2024, 12, 2, tzinfo=UTC)
    )

    assert (await world_of(database)).person("Per").state is ACTIVE


async def test_members_of_another_source_are_no_concern_of_this_one(
    database: Database, tmp_path: Path
) -> None:
    await tell(database, created("Mona"), source="portal")

    report = await run(database, tmp_path, [row("Kari")])

    assert report.missing_there == 0
    assert (await world_of(database)).person("Mona").state is ACTIVE


async def test_who_was_told_by_webhook_is_a_member_of_the_source(
    database: Database, tmp_path: Path
) -> None:
    await tell(database, created("Mona"))

    await run(database, tmp_path, [row("Kari")])

    assert (await world_of(database)).person("Mona").state is INACTIVE


async def test_line_of_an_id_that_was_merged_is_about_the_person_who_lives_on(
    database: Database, tmp_path: Path
) -> None:
    merge = event("membership-merged", "Kari", 5, mergedId=guid("Mona"))
    await tell(database, created("Kari"), created("Mona"), merge)
    rows = [row("Mona", phone="7", home="HLF Bergen")]

    report = await run(database, tmp_path, rows)
    again = await run(database, tmp_path, rows)

    world = await world_of(database)
    assert (report.changed, report.missing_there, report.out_of_scope) == (1, 0, 0)
    assert world.people.keys() == {guid("Kari")}
    kari = world.person("Kari")
    assert (kari.profile["phone"], kari.home, kari.state) == ("7", guid("HLF Bergen"), ACTIVE)
    assert (again.equal, again.differing) == (1, 0)


async def test_end_of_a_merged_row_ends_a_membership_in_a_complete_file_alone(
    database: Database, tmp_path: Path
) -> None:
    merge = event("membership-merged", "Kari", 5, mergedId=guid("Mona"))
    await tell(database, created("Kari"), created("Mona"), merge)
    rows = [row("Mona", state="INACTIVE")]

    partial_run = await run(database, tmp_path, rows, complete=False)
    untouched = (await world_of(database)).person("Kari").state
    complete_run = await run(database, tmp_path, rows)

    assert (partial_run.out_of_scope, partial_run.differing) == (1, 0)
    assert untouched is ACTIVE
    assert complete_run.deactivated == 1
    assert (await world_of(database)).person("Kari").state is INACTIVE


async def test_one_of_several_merged_ids_stands_in_for_the_person(
    database: Database, tmp_path: Path
) -> None:
    merges = [event("membership-merged", "Kari", 5, mergedId=guid(id)) for id in ("Mona", "Siv")]
    await tell(database, created("Kari"), created("Mona"), created("Siv"), *merges)

    report = await run(database, tmp_path, [row("Mona", phone="7"), row("Siv", phone="8")])

    assert (report.changed, report.out_of_scope) == (1, 1)
    assert (await world_of(database)).person("Kari").profile["phone"] == "7"


async def test_row_that_was_merged_into_another_says_nothing_of_the_person(
    database: Database, tmp_path: Path
) -> None:
    merge = event("membership-merged", "Kari", 5, mergedId=guid("Mona"))
    await tell(database, created("Kari"), created("Mona"), merge)

    for mona in (row("Mona", state="INACTIVE"), row("Mona", phone="9")):
        report = await run(database, tmp_path, [row("Kari"), mona])
        assert report.out_of_scope == 1

    kari = (await world_of(database)).person("Kari")
    assert (kari.state, kari.profile["phone"]) == (ACTIVE, "1")


async def test_what_was_said_later_than_the_file_counts(database: Database, tmp_path: Path) -> None:
    later = {**updated("Kari", profile={"phone": "9"}), "timestamp": "2024-12-01T13:00:00Z"}
    await tell(database, created("Kari"), later)

    report = await run(database, tmp_path, [row("Kari", phone="2")])

    assert report.beaten == 1
    assert (await world_of(database)).person("Kari").profile["phone"] == "9"


async def test_correction_stands_against_a_line_without_a_time_of_its_own(
    database: Database, tmp_path: Path
) -> None:
    await tell(database, created("Kari"))
    await tell(database, updated("Kari", profile={"phone": "7"}), source="correction")

    report = await run(database, tmp_path, [row("Kari", phone="2")])

    kari = (await world_of(database)).person("Kari")
    assert report.corrected == 1
    assert kari.profile["phone"] == "7"


async def test_correction_ends_when_a_run_finds_something_new(
    database: Database, tmp_path: Path
) -> None:
    await run(database, tmp_path, [row("Kari")])
    correction = Correction(guid("Kari"), "wrong", profile={"phone": "7"})
    await correct_membership(
        database, correction, "an operator", lambda: AT, national_body=NationalBody()
    )

    same = await run(database, tmp_path, [row("Kari")], at=LATER)
    assert (same.corrected, (await world_of(database)).person("Kari").profile["phone"]) == (1, "7")

    await run(database, tmp_path, [row("Kari", phone="8")], at=LATER)
    assert (await world_of(database)).person("Kari").profile["phone"] == "8"


async def test_who_is_no_member_there_and_unknown_here_is_not_taken_in(
    database: Database, tmp_path: Path
) -> None:
    report = await run(database, tmp_path, [row("Kari", state="INACTIVE")])

    assert report.out_of_scope == 1
    assert (await world_of(database)).people == {}


async def test_dry_run_tells_what_differs_and_applies_nothing(
    database: Database, tmp_path: Path
) -> None:
    await run(database, tmp_path, [row("Kari")])
    before = await rows_without_runs(database)

    report = await run(
        database,
        tmp_path,
        [row("Kari", phone="2"), row("Per")],
        dry_run=True,
        at=datetime(2024, 12, 2, tzinfo=UTC),
    )

    assert (report.new, report.changed) == (1, 1)
    (phone,) = next(one for one in report.differences if one.known).fields
    assert (phone.field, phone.there, phone.here, phone.why) == ("phone", "2", "1", "counts")
    after = await rows_without_runs(database)
    assert after.pop("drift_lines") == before.pop("drift_lines") + 2
    assert after == before


async def test_dry_run_is_recorded_with_what_it_found(database: Database, tmp_path: Path) -> None:
    await run(database, tmp_path, [row("Kari")])

    later = datetime(2024, 12, 2, tzinfo=UTC)
    rows = [row("Kari", phone="2"), row("Per", state="?")]
    await run(database, tmp_path, rows, dry_run=True, at=later)

    async with database.read() as session:
        id = await session.scalar(select(func.max(ReconciliationRow.id)))
        newest = await run_by_id(session, id or 0)
    assert newest is not None
    assert (newest.dry_run, newest.status) == (True, ReconciliationStatus.SUCCEEDED)
    assert (newest.counts.compared, newest.counts.updated) == (1, 1)
    async with database.read() as session:
        lines = await session.all(
            select(DriftLine.action, DriftLine.there).where(
                DriftLine.reconciliation_id == newest.id
            )
        )
    assert [tuple(line) for line in lines] == [(DriftAction.FOUND, "2")]


async def test_dry_run_leaves_a_run_alone_that_goes_on_beside_it(
    database: Database, tmp_path: Path
) -> None:
    async with recorded_run(
        database, "min-side", ReconciliationKind.FULL, lambda: datetime.now(UTC)
    ) as id:
        await run(database, tmp_path, [row("Kari")], dry_run=True)
        async with database.read() as session:
            beside = await run_by_id(session, id)

    assert beside is not None
    assert beside.status is ReconciliationStatus.RUNNING


async def test_nothing_of_a_file_with_a_wrong_line_is_applied(
    database: Database, tmp_path: Path
) -> None:
    rows = [row("Kari"), row("Per", state="perhaps"), row("Kari", phone="2")]

    report = await run(database, tmp_path, rows)

    assert [line.number for line in report.wrong] == [3, 4]
    assert (await world_of(database)).people == {}


async def test_other_lines_are_applied_when_wrong_ones_are_skipped(
    database: Database, tmp_path: Path
) -> None:
    rows = [row("Kari"), row("Per", state="perhaps"), row("Kari", phone="2")]

    await run(database, tmp_path, rows, skip_wrong=True)

    world = await world_of(database)
    assert set(world.people) == {guid("Kari")}
    assert world.person("Kari").profile["phone"] == "1"


async def test_new_name_of_a_chapter_is_told_by_one_line(
    database: Database, tmp_path: Path
) -> None:
    file = tmp_path / "named.csv"
    text = "portalId,organizationId,organizationName\n"
    text += "".join(f"{guid(name)},{guid('HLF Oslo')},HLF Oslo\n" for name in ("Kari", "Per"))
    file.write_text(text, encoding="utf-8")
    await run(database, tmp_path, [row("Kari"), row("Per")])

    lines = partial(read_lines, file, LATER)
    request = Request("min-side", lines, "the file named.csv", LATER)
    report = await reconcile(database, request, Guard(), lambda: datetime.now(UTC))

    assert (report.changed, report.equal) == (1, 1)
    assert (await world_of(database)).chapter("HLF Oslo").name == "HLF Oslo"


# The deletion guard

MANY = [f"member {number}" for number in range(30)]
LATER = datetime(2024, 12, 2, tzinfo=UTC)


async def test_more_than_can_be_right_is_held_and_everything_else_applied(
    database: Database, tmp_path: Path
) -> None:
    await run(database, tmp_path, [row(name) for name in MANY])

    rows = [row(name, phone="2") for name in MANY[:19]]
    report = await run(database, tmp_path, rows, at=LATER)

    world = await world_of(database)
    assert len(report.held) == 11
    assert report.held_because is not None
    assert all(person.state is ACTIVE for person in world.people.values())
    assert {world.person(name).profile["phone"] for name in MANY[:19]} == {"2"}


async def test_what_is_held_is_taken_away_once_a_person_says_so(
    database: Database, tmp_path: Path
) -> None:
    await run(database, tmp_path, [row(name) for name in MANY])
    rows = [row(name) for name in MANY[:19]]
    await run(database, tmp_path, rows, at=LATER)

    report = await run(database, tmp_path, rows, at=LATER, release=True)

    people = (await world_of(database)).people.values()
    assert report.held == []
    assert sum(person.state is INACTIVE for person in people) == 11


async def test_few_may_go(database: Database, tmp_path: Path) -> None:
    await run(database, tmp_path, [row(name) for name in MANY])

    report = await run(database, tmp_path, [row(name) for name in MANY[:20]], at=LATER)

    assert report.held == []
    assert report.deactivated == 10


async def test_many_in_small_steps_are_held_as_well(database: Database, tmp_path: Path) -> None:
    await run(database, tmp_path, [row(name) for name in MANY])
    await run(database, tmp_path, [row(name) for name in MANY[:24]], at=LATER)

    report = await run(
        database, tmp_path, [row(name) for name in MANY[:18]], at=LATER.replace(hour=1)
    )

    assert len(report.held) == 6


async def test_more_than_half_of_a_chapter_is_held(database: Database, tmp_path: Path) -> None:
    guard = Guard(count=100, share=1)
    homes = ["HLF Bergen"] * 10 + ["HLF Oslo"] * 20
    rows = [row(name, home=home) for name, home in zip(MANY, homes, strict=True)]
    await run(database, tmp_path, rows, guard)

    report = await run(database, tmp_path, rows[6:], guard, at=LATER)

    assert len(report.held) == 6
    assert report.held_because is not None
    assert guid("HLF Bergen") in report.held_because


async def test_lost_roles_count_and_are_held_while_the_rest_of_the_line_is_applied(
    database: Database, tmp_path: Path
) -> None:
    await run(database, tmp_path, [row(name, roles="member|coordinator") for name in MANY])

    rows = [row(name, phone="2", roles="member") for name in MANY]
    report = await run(database, tmp_path, rows, at=LATER)

    kari = (await world_of(database)).person(MANY[0])
    assert len(report.held) == 30
    assert {code for code, _, _ in kari.roles} == {"member", "coordinator"}
    assert kari.profile["phone"] == "2"


@pytest.mark.parametrize("rows", [[], [row("somebody else")]])
async def test_empty_or_foreign_file_takes_nothing_away(
    database: Database, tmp_path: Path, rows: list[str]
) -> None:
    await run(database, tmp_path, [row(name) for name in MANY])

    await run(database, tmp_path, rows, at=LATER)

    world = await world_of(database)
    assert all(world.person(name).state is ACTIVE for name in MANY)


async def test_deactivation_by_webhook_is_no_removal_of_a_run(
    database: Database, tmp_path: Path
) -> None:
    await run(database, tmp_path, [row(name) for name in MANY])
    await tell(
        database,
        *({**deactivated(name), "timestamp": "2024-12-01T13:00:00Z"} for name in MANY[:12]),
    )

    report = await run(database, tmp_path, [row(name) for name in MANY[12:]], at=LATER)

    assert report.held == []
    assert report.equal == 18
