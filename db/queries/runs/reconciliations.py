"""Runs that compare a source with what is known, their drift, and what they hold back."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import delete, func, insert, select, update

from db.sessions import ReadSession, WriteSession
from db.tables.models import DriftLine, HeldItem, ReconciliationRow
from db.vocabulary import DriftAction, PortalId, ReconciliationKind, ReconciliationStatus

DRIFT_KEPT = timedelta(days=14)
"""Drift shows values of profiles, so it goes when bodies do."""
RUNS_KEPT = timedelta(days=365)
"""Runs hold counts only, and are of use for as long as somebody asks how it was a year ago."""
_PORTION = 500


class RunCounts(msgspec.Struct, frozen=True):
    """The counts of a run, of members. `missing` were missing there, `missed` is what a webhook
    should have told, and `unlisted` differ without a drift line that says how."""

    compared: int = 0
    created: int = 0
    updated: int = 0
    deactivated: int = 0
    missing: int = 0
    missed: int = 0
    held: int = 0
    unlisted: int = 0


class Run(msgspec.Struct, frozen=True):
    """A run as it is read. Its status is HELD as long as something that it holds is undecided."""

    id: int
    source: str
    kind: ReconciliationKind
    status: ReconciliationStatus
    started_at: datetime
    finished_at: datetime | None
    detail: str | None
    dry_run: bool
    counts: RunCounts


class Drift(NamedTuple):
    """A difference in a field of a member."""

    portal_id: PortalId
    field: str
    there: str | None
    here: str | None
    action: DriftAction


class Held(NamedTuple):
    """A removal that is held back, or that a person has discarded: the part that would be taken
    away, and what the source says of it."""

    portal_id: PortalId
    part: str
    there: str | None
    stated_at: datetime
    held_since: datetime
    discarded: bool
    source: str
    reconciliation_id: int


_COUNTS = [getattr(ReconciliationRow, name) for name in RunCounts.__struct_fields__]
_IS_HELD = (
    select(HeldItem.id)
    .where(HeldItem.reconciliation_id == ReconciliationRow.id, HeldItem.discarded.is_(False))
    .exists()
)
SELECT_RUN = select(
    ReconciliationRow.id,
    ReconciliationRow.source,
    ReconciliationRow.kind,
    ReconciliationRow.status,
    _IS_HELD.label("is_held"),
    ReconciliationRow.started_at,
    ReconciliationRow.finished_at,
    ReconciliationRow.detail,
    ReconciliationRow.dry_run,
    *_COUNTS,
)


async def begin_run(
    session: WriteSession,
    source: str,
    kind: ReconciliationKind,
    now: datetime,
    *,
    dry_run: bool = False,
) -> int:
    """Begins a run, and returns its id. Runs of the source that did not end have failed: their
    process has ended; but a dry run, which shuts nobody out, says so of dry runs only. One that
    failed before anything was compared is begun again, so that a portal that is away for long
    leaves one run."""
    begun_before = [
        ReconciliationRow.source == source,
        ReconciliationRow.status == ReconciliationStatus.RUNNING,
    ]
    if dry_run:
        begun_before.append(ReconciliationRow.dry_run.is_(True))
    await session.run(
        update(ReconciliationRow)
        .where(*begun_before)
        .values(
            status=ReconciliationStatus.FAILED,
            finished_at=now,
            detail="The process ended before the run did.",
        )
    )
    await session.run(
        delete(DriftLine).where(
            DriftLine.reconciliation_id.in_(
                select(ReconciliationRow.id).where(
                    ReconciliationRow.source == source,
                    ReconciliationRow.started_at < now - DRIFT_KEPT,
                )
            )
        )
    )
    await session.run(
        delete(ReconciliationRow).where(
            ReconciliationRow.source == source,
            ReconciliationRow.started_at < now - RUNS_KEPT,
            # What is held stays with its run until somebody decides, and what is discarded after.
            ~select(HeldItem.id).where(HeldItem.reconciliation_id == ReconciliationRow.id).exists(),
        )
    )
    last = await session.first(
        select(ReconciliationRow.id, ReconciliationRow.kind, ReconciliationRow.status)
        .where(ReconciliationRow.source == source, ReconciliationRow.dry_run.is_(dry_run))
        .order_by(ReconciliationRow.id.desc())
        .limit(1)
    )
    begun = {
        "status": ReconciliationStatus.RUNNING,
        "started_at": now,
        "finished_at": None,
        "detail": None,
    }
    if last is not None and (last.kind, last.status) == (kind, ReconciliationStatus.FAILED):
        await session.run(
            update(ReconciliationRow).where(ReconciliationRow.id == last.id).values(begun)
        )
        return int(last.id)
    counts = dict.fromkeys(RunCounts.__struct_fields__, 0)
    values = {"source": source, "kind": kind, "dry_run": dry_run, **begun, **counts}
    inserted = await session.run(insert(ReconciliationRow).values(values))
    (id,) = inserted.inserted_primary_key or (0,)
    return int(id)


async def note_compared(session: WriteSession, id: int, compared: int) -> None:
    """Notes how far a run is."""
    await session.run(
        update(ReconciliationRow).where(ReconciliationRow.id == id).values(compared=compared)
    )


async def end_run(session: WriteSession, id: int, counts: RunCounts, now: datetime) -> None:
    """Ends a run that has succeeded."""
    await session.run(
        update(ReconciliationRow)
        .where(ReconciliationRow.id == id)
        .values(
            status=ReconciliationStatus.SUCCEEDED, finished_at=now, **msgspec.structs.asdict(counts)
        )
    )


async def fail_run(session: WriteSession, id: int, detail: str, now: datetime) -> None:
    """Ends a run that has failed. `detail` says why."""
    await session.run(
        update(ReconciliationRow)
        .where(ReconciliationRow.id == id)
        .values(status=ReconciliationStatus.FAILED, finished_at=now, detail=detail)
    )


async def last_runs(session: ReadSession, sources: Collection[str]) -> dict[str, Run]:
    """Returns the newest run of each source that has one, without dry runs."""
    newest = (
        select(func.max(ReconciliationRow.id))
        .where(ReconciliationRow.source.in_(sources), ReconciliationRow.dry_run.is_(False))
        .group_by(ReconciliationRow.source)
    )
    rows = await session.all(SELECT_RUN.where(ReconciliationRow.id.in_(newest)))
    return {row.source: run_of(row) for row in rows}


async def run_by_id(session: ReadSession, id: int) -> Run | None:
    row = await session.first(SELECT_RUN.where(ReconciliationRow.id == id))
    return None if row is None else run_of(row)


async def runs_by_id(session: ReadSession, ids: Collection[int]) -> dict[int, Run]:
    if not ids:
        return {}
    rows = await session.all(SELECT_RUN.where(ReconciliationRow.id.in_(ids)))
    return {row.id: run_of(row) for row in rows}


async def missed_since(session: ReadSession, since: datetime) -> dict[str, int]:
    """Returns, by source, how many differences a webhook should have told, without dry runs."""
    rows = await session.all(
        select(ReconciliationRow.source, func.sum(ReconciliationRow.missed))
        .where(ReconciliationRow.started_at >= since, ReconciliationRow.dry_run.is_(False))
        .group_by(ReconciliationRow.source)
    )
    return {source: int(count) for source, count in rows}


class HeldRemovals(NamedTuple):
    number: int
    since: datetime


async def held_by_source(session: ReadSession) -> dict[str, HeldRemovals]:
    """Returns how much of each source is held back and undecided, and since when."""
    rows = await session.all(
        select(HeldItem.source, func.count(HeldItem.id), func.min(HeldItem.held_since))
        .where(HeldItem.discarded.is_(False))
        .group_by(HeldItem.source)
    )
    return {source: HeldRemovals(count, since) for source, count, since in rows}


async def beaten_in(session: ReadSession, run: int) -> int:
    """Returns how many differences a run left as they are, because a later statement stands."""
    found = select(func.count(DriftLine.id)).where(
        DriftLine.reconciliation_id == run, DriftLine.action == DriftAction.BEATEN
    )
    return await session.scalar(found) or 0


async def add_drift(session: WriteSession, id: int, lines: Sequence[Drift]) -> None:
    rows = [{"reconciliation_id": id, **line._asdict()} for line in lines]
    for start in range(0, len(rows), _PORTION):
        await session.run(insert(DriftLine), rows[start : start + _PORTION])


async def held_items(
    session: ReadSession, source: str | None = None, run: int | None = None
) -> list[Held]:
    """Returns what is held or was discarded, of one source or run, or of all."""
    statement = select(*(getattr(HeldItem, name) for name in Held._fields)).order_by(HeldItem.id)
    if source is not None:
        statement = statement.where(HeldItem.source == source)
    if run is not None:
        statement = statement.where(HeldItem.reconciliation_id == run)
    return [Held(*row) for row in await session.all(statement)]


async def hold(session: WriteSession, items: Sequence[Held]) -> None:
    """Holds these; of what is held already, the newest statement of the source is kept."""
    await drop_held(session, items)
    rows = [item._asdict() for item in items]
    for start in range(0, len(rows), _PORTION):
        await session.run(insert(HeldItem), rows[start : start + _PORTION])


async def drop_held(session: WriteSession, items: Sequence[Held]) -> None:
    """Ends the holding of these parts."""
    ids = await _ids_of(session, items)
    for start in range(0, len(ids), _PORTION):
        await session.run(delete(HeldItem).where(HeldItem.id.in_(ids[start : start + _PORTION])))


async def discard_held(session: WriteSession, items: Sequence[Held]) -> None:
    """Marks these as discarded."""
    ids = await _ids_of(session, items)
    for start in range(0, len(ids), _PORTION):
        await session.run(
            update(HeldItem)
            .where(HeldItem.id.in_(ids[start : start + _PORTION]))
            .values(discarded=True)
        )


async def _ids_of(session: ReadSession, items: Sequence[Held]) -> list[int]:
    keys = {(item.source, item.portal_id, item.part) for item in items}
    rows = await session.all(
        select(HeldItem.id, HeldItem.source, HeldItem.portal_id, HeldItem.part).where(
            HeldItem.source.in_({item.source for item in items})
        )
    )
    return [id for id, *key in rows if tuple(key) in keys]


def run_of(row: Sequence[Any]) -> Run:
    """Returns the run of a row of SELECT_RUN."""
    id, source, kind, status, is_held, started_at, finished_at, detail, dry_run, *counts = row
    if is_held and status is ReconciliationStatus.SUCCEEDED:
        status = ReconciliationStatus.HELD
    counted = RunCounts(*counts)
    return Run(id, source, kind, status, started_at, finished_at, detail, dry_run, counted)
