"""What the deletion guard holds back: it is kept until a person decides, and what runs leave."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from db.database import Database
from db.queries.runs.reconciliations import (
    RUNS_KEPT,
    Held,
    RunCounts,
    begin_run,
    end_run,
    hold,
    last_runs,
    missed_since,
    note_compared,
    run_by_id,
)
from db.sessions import WriteSession
from db.tables.models import AuditRecord, DriftLine
from db.vocabulary import (
    ActivationState,
    AuditAction,
    DriftAction,
    PortalId,
    ReconciliationKind,
    ReconciliationStatus,
)
from sync.reconcile import runs
from sync.reconcile.holding import NothingHeldError, decide_held, held_of
from tests.support.builders import guid, reactivated
from tests.support.opened import opened
from tests.sync.reconcile.test_run import AT, row, run, tell
from tests.sync.recorded_events import world_of

ACTIVE, INACTIVE = ActivationState.ACTIVE, ActivationState.INACTIVE
NAMES = [f"member {number}" for number in range(30)]
LATER = AT + timedelta(days=1)
GONE = NAMES[9:]


async def states(database: Database) -> set[ActivationState]:
    people = (await world_of(database)).people
    return {people[guid(name)].state for name in GONE}


async def decide(database: Database, *, release: bool) -> None:
    items = await held_of(database, "min-side")
    now = datetime.now(UTC)
    await decide_held(database, items, "an operator", "asked", lambda: now, release=release)


@pytest.fixture
async def holding(database: Database, tmp_path: Path) -> Database:
    """A database of 30 members, of whom the portal has 21 no more, which is held."""
    await run(database, tmp_path, [row(name) for name in NAMES])
    await run(database, tmp_path, [row(name) for name in NAMES[:9]], at=LATER)
    return database


async def test_what_is_held_is_known_after_a_restart(holding: Database, database_url: str) -> None:
    async with opened(database_url) as restarted:
        items = await held_of(restarted, "min-side")
        async with restarted.read() as session:
            last = (await last_runs(session, ["min-side"]))["min-side"]

    assert {item.portal_id for item in items} == {guid(name) for name in GONE}
    assert (last.status, last.counts.held) == (ReconciliationStatus.HELD, len(GONE))
    assert (last.counts.deactivated, last.counts.missing) == (0, len(GONE))
    assert await states(holding) == {ACTIVE}


async def test_what_is_held_stays_held_when_a_later_run_alone_would_take_it_away(
    holding: Database, tmp_path: Path
) -> None:
    # By itself, the removal of two is far below the limit.
    first = {item.portal_id: item.held_since for item in await held_of(holding, "min-side")}
    back = [row(name) for name in NAMES[:28]]

    report = await run(holding, tmp_path, back, at=LATER + timedelta(hours=1))

    items = await held_of(holding, "min-side")
    assert {item.portal_id for item in items} == {guid(name) for name in NAMES[28:]}
    assert [item.held_since for item in items] == [first[item.portal_id] for item in items]
    assert len(report.held) == 2
    assert await states(holding) == {ACTIVE}


async def test_released_they_are_applied_and_the_audit_trail_says_who(holding: Database) -> None:
    await decide(holding, release=True)

    assert await states(holding) == {INACTIVE}
    assert await held_of(holding, "min-side") == []
    async with holding.read() as session:
        last = (await last_runs(session, ["min-side"]))["min-side"]
        audit = await session.all(
            select(AuditRecord.actor, AuditRecord.action).order_by(AuditRecord.id.desc()).limit(1)
        )
    assert last.status is ReconciliationStatus.SUCCEEDED
    (record,) = audit
    assert (record.actor, record.action) == ("an operator", AuditAction.HELD_RELEASED)
    with pytest.raises(NothingHeldError):
        await decide(holding, release=True)


async def test_discarded_they_stay_until_the_portal_says_something_else(
    holding: Database, tmp_path: Path
) -> None:
    await decide(holding, release=False)
    there = [row(name) for name in NAMES[:9]]
    again = await run(holding, tmp_path, there, at=LATER + timedelta(hours=1))

    assert (again.held, again.deactivated) == ([], 0)
    assert await states(holding) == {ACTIVE}

    # The portal has one of them again, and later no more: that is something new.
    await run(holding, tmp_path, [*there, row(GONE[0])], at=LATER + timedelta(hours=2))
    await run(holding, tmp_path, there, at=LATER + timedelta(hours=3))
    world = await world_of(holding)
    assert world.person(GONE[0]).state is INACTIVE
    assert world.person(GONE[1]).state is ACTIVE


async def test_release_leaves_what_was_stated_later(holding: Database) -> None:
    items = await held_of(holding, "min-side")
    later = (LATER + timedelta(hours=1)).isoformat()
    await tell(holding, {**reactivated(GONE[0]), "timestamp": later})

    now = datetime.now(UTC)
    await decide_held(holding, items, "an operator", "asked", lambda: now, release=True)

    assert (await world_of(holding)).person(GONE[0]).state is ACTIVE


async def test_lost_roles_are_held_and_released(database: Database, tmp_path: Path) -> None:
    several = [row(name, roles="member|coordinator") for name in NAMES]
    await run(database, tmp_path, several)
    fewer = [row(name, phone="2") for name in NAMES]

    await run(database, tmp_path, fewer, at=LATER)
    people = (await world_of(database)).people.values()
    assert {(one.profile["phone"], len(one.roles)) for one in people} == {("2", 2)}

    await decide(database, release=True)
    people = (await world_of(database)).people.values()
    assert {len(one.roles) for one in people} == {1}


async def test_drift_says_both_sides_and_what_was_done(database: Database, tmp_path: Path) -> None:
    await run(database, tmp_path, [row(name) for name in NAMES])
    await run(database, tmp_path, [row(NAMES[0], phone="2")], at=LATER)

    async with database.read() as session:
        lines = await session.all(
            select(
                DriftLine.portal_id,
                DriftLine.field,
                DriftLine.there,
                DriftLine.here,
                DriftLine.action,
            ).where(DriftLine.here.is_not(None))
        )
    found = {tuple(line) for line in lines}
    assert (guid(NAMES[0]), "phone", "2", "1", DriftAction.APPLIED) in found
    assert (guid(NAMES[1]), "state", "INACTIVE", "ACTIVE", DriftAction.HELD) in found


async def test_run_that_did_not_end_has_failed_when_the_next_begins(database: Database) -> None:
    now = datetime.now(UTC)
    async with database.write() as session:
        first = await begin_run(session, "min-side", ReconciliationKind.FULL, now)
    async with database.write() as session:
        second = await begin_run(session, "min-side", ReconciliationKind.DELTA, now)

    async with database.read() as session:
        ended = await run_by_id(session, first)
        assert await run_by_id(session, 0) is None
        assert await missed_since(session, now) == {"min-side": 0}
    assert second != first
    assert ended is not None
    assert (ended.status, ended.finished_at) == (ReconciliationStatus.FAILED, now)
    assert "ended before" in (ended.detail or "")


async def test_runs_of_more_than_a_year_ago_go_unless_they_hold_something(
    database: Database,
) -> None:
    now = datetime.now(UTC)
    long_ago = now - RUNS_KEPT - timedelta(hours=1)
    async with database.write() as session:
        ids = []
        for kind in (ReconciliationKind.FULL, ReconciliationKind.DELTA):
            ids.append(await begin_run(session, "min-side", kind, long_ago))
            await end_run(session, ids[-1], RunCounts(), long_ago)
        empty, holding = ids
        other = await begin_run(session, "elsewhere", ReconciliationKind.FULL, long_ago)
        stated = (PortalId(guid("Kari")), "state", "INACTIVE", long_ago, long_ago)
        await hold(session, [Held(*stated, True, "min-side", holding)])

    async with database.write() as session:
        newest = await begin_run(session, "min-side", ReconciliationKind.FULL, now)

    async with database.read() as session:
        left = {id for id in (empty, holding, other, newest) if await run_by_id(session, id)}
    assert left == {holding, other, newest}


async def test_run_says_how_many_differences_it_does_not_list(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "MOST_SHOWN", 20)

    await run(database, tmp_path, [row(name) for name in NAMES])

    async with database.read() as session:
        last = (await last_runs(session, ["min-side"]))["min-side"]
    assert (last.counts.created, last.counts.unlisted) == (30, 10)


async def test_run_says_how_far_it_is(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "NOTED_EVERY", 10)
    seen = []

    async def noted(session: WriteSession, id: int, compared: int) -> None:
        await note_compared(session, id, compared)
        run = await run_by_id(session, id)
        assert run is not None
        seen.append((run.status, run.counts.compared))

    monkeypatch.setattr(runs, "note_compared", noted)

    await run(database, tmp_path, [row(name) for name in NAMES])

    assert seen == [(ReconciliationStatus.RUNNING, count) for count in (10, 20, 30)]
