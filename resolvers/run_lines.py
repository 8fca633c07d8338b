"""Reads what a run found and what it holds back, with the members that it is about."""

from typing import Generic, TypeVar

import msgspec

from db.database import Database
from db.queries.keyset import PageRequest, Slice
from db.queries.members.member_pages import member_ids
from db.queries.members.visibility import Sight
from db.queries.runs.run_pages import DriftRow, HeldRow, drift_page, held_page
from db.sessions import ReadSession
from db.vocabulary import PortalId
from resolvers.members import MemberFields, MemberView, member_views

Line = TypeVar("Line", DriftRow, HeldRow)


class LineView(msgspec.Struct, Generic[Line], frozen=True):
    """`member` is None if nobody with this portal id is known, or nobody was asked for."""

    row: Line
    member: MemberView | None


async def page_of_drift(
    database: Database, sight: Sight, run: int, page: PageRequest, members: MemberFields | None
) -> Slice[LineView[DriftRow]]:
    async with database.read() as session:
        return await _with_members(session, sight, await drift_page(session, run, page), members)


async def page_of_held(
    database: Database, sight: Sight, run: int, page: PageRequest, members: MemberFields | None
) -> Slice[LineView[HeldRow]]:
    async with database.read() as session:
        return await _with_members(session, sight, await held_page(session, run, page), members)


async def _with_members(
    session: ReadSession, sight: Sight, found: Slice[Line], fields: MemberFields | None
) -> Slice[LineView[Line]]:
    ids = {row.portal_id for row in found.rows}
    known: dict[PortalId, MemberView] = {}
    if fields is not None and ids:
        views = await member_views(session, sight, await member_ids(session, ids), fields)
        known = {view.row.portal_id: view for view in views.values()}
    return found.map(lambda row: LineView(row, known.get(row.portal_id)))
