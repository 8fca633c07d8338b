"""Pages of runs that compared a source, of their drift, and of what they hold back."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Text, bindparam, select
from sqlalchemy.sql import Select

from db.queries.keyset import KeysetColumn, PageRequest, PageStatements, Slice, read_page
from db.queries.rows import columns_of
from db.queries.runs.reconciliations import SELECT_RUN, Run, run_of
from db.sessions import ReadSession
from db.tables.models import DriftLine, HeldItem, ReconciliationRow
from db.vocabulary import DriftAction, PortalId


class DriftRow(msgspec.Struct, frozen=True):
    """A difference that a run found, as it is read."""

    id: int
    portal_id: PortalId
    field: str
    there: str | None
    here: str | None
    action: DriftAction


class HeldRow(msgspec.Struct, frozen=True):
    """A removal that waits for a decision, as it is read."""

    id: int
    portal_id: PortalId
    part: str
    there: str | None
    held_since: datetime


_NEWEST_FIRST = (KeysetColumn(ReconciliationRow.started_at, descending=True),)
_runs = PageStatements(ReconciliationRow.id)
_drift = PageStatements(DriftLine.id)
_held = PageStatements(HeldItem.id)
_RUN_ID = bindparam("run", 0, type_=BigInteger)


async def run_page(session: ReadSession, source: str | None, page: PageRequest) -> Slice[Run]:
    """Returns a page of the runs of one source, or of all, the newest first."""

    def selected() -> Select[*tuple[Any, ...]]:
        if source is None:
            return SELECT_RUN
        return SELECT_RUN.where(ReconciliationRow.source == bindparam("source", "", type_=Text))

    of_one = source is not None
    statement = _runs.statement((of_one,), page, _NEWEST_FIRST, selected)
    values = {"source": source} if of_one else {}
    found = await read_page(session, statement, page, values, keys=2)
    return found.map(run_of)


async def drift_page(session: ReadSession, run: int, page: PageRequest) -> Slice[DriftRow]:
    """Returns a page of what a run found to differ, member by member."""
    rows = select(*columns_of(DriftRow, DriftLine)).where(DriftLine.reconciliation_id == _RUN_ID)
    order = (KeysetColumn(DriftLine.portal_id),)
    found = await _page_of_run(session, _drift, run, page, order, lambda: rows)
    return found.map(lambda row: DriftRow(*row))


async def held_page(session: ReadSession, run: int, page: PageRequest) -> Slice[HeldRow]:
    """Returns a page of what a run holds back and nobody has decided, member by member."""
    rows = select(*columns_of(HeldRow, HeldItem)).where(
        HeldItem.reconciliation_id == _RUN_ID, HeldItem.discarded.is_(False)
    )
    order = (KeysetColumn(HeldItem.portal_id),)
    found = await _page_of_run(session, _held, run, page, order, lambda: rows)
    return found.map(lambda row: HeldRow(*row))


async def _page_of_run(
    session: ReadSession,
    pages: PageStatements,
    run: int,
    page: PageRequest,
    order: Sequence[KeysetColumn],
    rows: Callable[[], Select[*tuple[Any, ...]]],
) -> Slice[Sequence[Any]]:
    statement = pages.statement((), page, order, rows)
    return await read_page(session, statement, page, {"run": run}, keys=2)
