"""Who is asking, as the database knows them at this moment: their roles, and what they may see."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, Subquery, Text, and_, cast, func, literal_column, select

from db.database import Database
from db.driver.any_of import any_of_parameter
from db.driver.compiled_statements import CompiledStatement, SqlRow
from db.errors import DatabaseUnavailableError
from db.queries.member_pages import MemberRow
from db.queries.roles import AssignmentRow, RoleRow, access_level
from db.queries.visibility import Sight
from db.sessions import ReadSession
from db.tables.models import Member, Organization, Role, RoleAssignment
from db.vocabulary import AccessLevel, ActivationState, OrganizationId, PortalId

PATIENCE_SECONDS = 5.0
REMEMBERED_VIEWERS = 5_000

# Written into the statement. As a parameter it would be given at execution, which is too late here.
_COMMA: Any = literal_column("','")
_EVERYTHING = Sight(everything=True)
# In the order of MemberRow and RoleRow.
_MEMBER = (
    Member.id,
    Member.portal_id,
    Member.member_number,
    Member.given_name,
    Member.family_name,
    Member.email,
    Member.phone,
    Member.state,
    Member.state_changed_at,
    Member.organization_id,
    Member.updated_at,
)
_ROLE = (Role.id, Role.code, Role.name, Role.access_level, Role.decided)


@dataclass(frozen=True, slots=True)
class Viewer:
    """`member` is None for an operator. `accesses`: the highest level held in each organization."""

    sight: Sight
    access_level: AccessLevel
    member: MemberRow | None = None
    roles: tuple[AssignmentRow, ...] = ()
    accesses: tuple[tuple[OrganizationId, AccessLevel], ...] = ()

    @property
    def is_operator(self) -> bool:
        return self.sight.everything

    @property
    def is_active(self) -> bool:
        return self.member is None or self.member.state is ActivationState.ACTIVE


OPERATOR = Viewer(_EVERYTHING, AccessLevel.ADMIN)


_PLACE = func.coalesce(RoleAssignment.organization_id, Member.organization_id)


def _sights() -> Subquery:
    """For each place where one of them is a coordinator or more, the chapters there and below. As
    text, since it is mostly the text of the time before. UNION, so that a cycle in the portal's
    tree ends."""
    places = (
        select(_PLACE.label("place"), _PLACE.label("id"))
        .select_from(RoleAssignment)
        .join(Role, Role.id == RoleAssignment.role_id)
        .join(Member, Member.id == RoleAssignment.member_id)
        .where(
            any_of_parameter(Member.portal_id, "portal_ids"),
            Role.access_level >= AccessLevel.COORDINATOR,
            _PLACE.is_not(None),
        )
    )
    tree = places.cte("tree", recursive=True)
    below = select(tree.c.place, Organization.id).join(tree, Organization.parent_id == tree.c.id)
    tree = tree.union(below)
    ids = func.aggregate_strings(cast(tree.c.id, Text), _COMMA)
    return select(tree.c.place, ids.label("ids")).group_by(tree.c.place).subquery("sights")


def _viewers() -> Select[*tuple[Any, ...]]:
    """One row for each role held, or a single one for somebody without roles."""
    sights = _sights()
    seen = and_(sights.c.place == _PLACE, Role.access_level >= AccessLevel.COORDINATOR)
    return (
        select(*_MEMBER, *_ROLE, _PLACE, RoleAssignment.since, sights.c.ids)
        .select_from(Member)
        .outerjoin(RoleAssignment, RoleAssignment.member_id == Member.id)
        .outerjoin(Role, Role.id == RoleAssignment.role_id)
        .outerjoin(sights, seen)
        .where(any_of_parameter(Member.portal_id, "portal_ids"))
        .order_by(Role.access_level.desc(), Role.code, RoleAssignment.id)
    )


_VIEWERS = CompiledStatement(_viewers())


async def _rows_of_members(
    session: ReadSession, portal_ids: Collection[PortalId]
) -> dict[PortalId, list[SqlRow]]:
    """Without those whom nobody knows."""
    rows: defaultdict[PortalId, list[SqlRow]] = defaultdict(list)
    for row in await session.rows(_VIEWERS, {"portal_ids": list(portal_ids)}):
        rows[row[1]].append(row)
    return rows


async def viewer_of_member(session: ReadSession, portal_id: PortalId) -> Viewer | None:
    """None for an unknown person."""
    rows = (await _rows_of_members(session, [portal_id])).get(portal_id)
    return None if rows is None else _viewer(rows)


class ViewerLookups:
    """Requests that come at the same time share one round trip, which is most of what it costs to
    know who is asking. It begins after the last of them came: nobody is told of a moment before
    they asked.

    What the database says is read each time. Only what it means is remembered, for as long as it
    says the same, word for word.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: defaultdict[PortalId, list[asyncio.Future[Viewer | None]]] = defaultdict(
            list
        )
        self._task: asyncio.Task[None] | None = None
        self._remembered: dict[PortalId, tuple[Sequence[SqlRow], Viewer]] = {}

    def find(self, portal_id: PortalId) -> "asyncio.Future[Viewer | None]":
        """None for an unknown person. Awaiting it raises what the database raises. It belongs to
        whoever asked, who may cancel it."""
        future = asyncio.get_running_loop().create_future()
        self._waiting[portal_id].append(future)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="looking viewers up")
        return future

    async def _run(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, defaultdict(list)
            found: dict[PortalId, Viewer] = {}
            failure: Exception | None = None
            try:
                async with asyncio.timeout(PATIENCE_SECONDS), self._database.read() as session:
                    found = self._read(await _rows_of_members(session, list(waiting)))
            except TimeoutError:
                failure = DatabaseUnavailableError("Nobody could be looked up in time.")
            except Exception as error:  # those who asked are told, whatever it is
                failure = error
            for portal_id, futures in waiting.items():
                for future in futures:
                    if future.done():
                        continue
                    if failure is None:
                        future.set_result(found.get(portal_id))
                    else:
                        future.set_exception(failure)
        self._task = None

    def _read(self, found: Mapping[PortalId, Sequence[SqlRow]]) -> dict[PortalId, Viewer]:
        viewers = {}
        for portal_id, rows in found.items():
            known = self._remembered.get(portal_id)
            if known is None or known[0] != rows:
                known = rows, _viewer(rows)
                if len(self._remembered) >= REMEMBERED_VIEWERS:
                    del self._remembered[next(iter(self._remembered))]
                self._remembered[portal_id] = known
            viewers[portal_id] = known[1]
        return viewers


def _viewer(rows: Sequence[SqlRow]) -> Viewer:
    width = len(_MEMBER)
    member = MemberRow(*rows[0][:width])
    if member.state is not ActivationState.ACTIVE:
        return Viewer(Sight(), AccessLevel.NONE, member)
    roles: list[AssignmentRow] = []
    coordinated: set[OrganizationId] = set()
    administered: set[OrganizationId] = set()
    for row in rows:
        if row[width]:
            held = _assignment(row[width:-1])
            roles.append(held)
            seen = _ids(row[-1])
            coordinated |= seen
            if held.role.access_level >= AccessLevel.ADMIN:
                administered |= seen
    sight = Sight(
        member_id=member.id,
        coordinated=frozenset(coordinated),
        administered=frozenset(administered),
    )
    level = access_level(roles, active=True)
    return Viewer(sight, level, member, tuple(roles), tuple(sorted(_accesses(roles).items())))


def _ids(text: str | None) -> set[OrganizationId]:
    return {OrganizationId(int(id)) for id in text.split(",")} if text else set()


def _assignment(row: Sequence[Any]) -> AssignmentRow:
    *role, organization_id, since = row
    return AssignmentRow(RoleRow(*role), organization_id, since)


def _accesses(roles: Sequence[AssignmentRow]) -> dict[OrganizationId, AccessLevel]:
    accesses: dict[OrganizationId, AccessLevel] = {}
    for held in roles:
        if held.organization_id is not None:
            known = accesses.get(held.organization_id, AccessLevel.NONE)
            accesses[held.organization_id] = max(known, held.role.access_level)
    return accesses
