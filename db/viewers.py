"""Who is asking, as the database knows them at this moment: their roles, and what they may see."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select

from db.among import among_parameter
from db.combined import Query, SqlRow
from db.errors import DatabaseUnavailableError
from db.hot import HotStatement
from db.member_pages import MemberRow
from db.models import Member, Organization, Role, RoleAssignment
from db.roles import AssignmentRow, RoleRow, access_level
from db.unit_of_work import Database, ReadSession
from db.visibility import Scope
from db.vocabulary import AccessLevel, ActivationState, OrganizationId, PortalId

PATIENCE_SECONDS = 5.0

_EVERYTHING = Scope(everything=True)
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

    scope: Scope
    access_level: AccessLevel
    member: MemberRow | None = None
    roles: tuple[AssignmentRow, ...] = ()
    accesses: tuple[tuple[OrganizationId, AccessLevel], ...] = ()

    @property
    def is_operator(self) -> bool:
        return self.scope.everything

    @property
    def is_active(self) -> bool:
        return self.member is None or self.member.state is ActivationState.ACTIVE


OPERATOR = Viewer(_EVERYTHING, AccessLevel.ADMIN)


# One row for each role held, or a single one for somebody without roles.
_MEMBER_AND_ROLES = HotStatement(
    select(
        *_MEMBER,
        *_ROLE,
        func.coalesce(RoleAssignment.organization_id, Member.organization_id),
        RoleAssignment.since,
    )
    .select_from(Member)
    .outerjoin(RoleAssignment, RoleAssignment.member_id == Member.id)
    .outerjoin(Role, Role.id == RoleAssignment.role_id)
    .where(among_parameter(Member.portal_id, "portal_ids"))
    .order_by(Role.access_level.desc(), Role.code, RoleAssignment.id)
)


def _sight() -> Select[str, int, bool]:
    """The chapters somebody coordinates with all below them, and whether they administer them as
    well. UNION, so that a cycle in the portal's tree ends."""
    place = func.coalesce(RoleAssignment.organization_id, Member.organization_id)
    held = (
        select(
            Member.portal_id,
            place.label("id"),
            (Role.access_level >= AccessLevel.ADMIN).label("administered"),
        )
        .select_from(RoleAssignment)
        .join(Role, Role.id == RoleAssignment.role_id)
        .join(Member, Member.id == RoleAssignment.member_id)
        .where(
            among_parameter(Member.portal_id, "portal_ids"),
            Role.access_level >= AccessLevel.COORDINATOR,
            place.is_not(None),
        )
    )
    tree = held.cte("tree", recursive=True)
    below = select(tree.c.portal_id, Organization.id, tree.c.administered).join(
        tree, Organization.parent_id == tree.c.id
    )
    tree = tree.union(below)
    return select(tree.c.portal_id, tree.c.id, tree.c.administered)


_SIGHT = HotStatement(_sight())


async def viewers_of_members(
    session: ReadSession, portal_ids: Collection[PortalId]
) -> dict[PortalId, Viewer]:
    """Without those whom nobody knows. Inactive ones see nothing. One round trip."""
    asked = {"portal_ids": list(portal_ids)}
    people: Query[Sequence[SqlRow]] = Query(_MEMBER_AND_ROLES, asked, lambda rows: rows)
    sights: Query[Sequence[SqlRow]] = Query(_SIGHT, asked, lambda rows: rows)
    await session.fetch(people, sights)
    rows: defaultdict[PortalId, list[SqlRow]] = defaultdict(list)
    for row in people.found:
        rows[row[1]].append(row)
    seen: defaultdict[PortalId, list[tuple[OrganizationId, bool]]] = defaultdict(list)
    for portal_id, id, administers in sights.found:
        seen[portal_id].append((OrganizationId(id), administers))
    return {portal_id: _viewer(found, seen[portal_id]) for portal_id, found in rows.items()}


async def viewer_of_member(session: ReadSession, portal_id: PortalId) -> Viewer | None:
    """None for an unknown person."""
    return (await viewers_of_members(session, [portal_id])).get(portal_id)


class ViewerLookups:
    """Requests that come at the same time share one round trip, which is most of what it costs to
    know who is asking. It begins after the last of them came: nobody is told of a moment before
    they asked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: defaultdict[PortalId, list[asyncio.Future[Viewer | None]]] = defaultdict(
            list
        )
        self._task: asyncio.Task[None] | None = None

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
                    found = await viewers_of_members(session, list(waiting))
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


def _viewer(rows: Sequence[SqlRow], seen: Sequence[tuple[OrganizationId, bool]]) -> Viewer:
    width = len(_MEMBER)
    member = MemberRow(*rows[0][:width])
    if member.state is not ActivationState.ACTIVE:
        return Viewer(Scope(), AccessLevel.NONE, member)
    roles = tuple(_assignment(row[width:]) for row in rows if row[width])
    scope = Scope(
        member_id=member.id,
        coordinated=frozenset(id for id, _ in seen),
        administered=frozenset(id for id, administers in seen if administers),
    )
    level = access_level(roles, active=True)
    return Viewer(scope, level, member, roles, tuple(sorted(_accesses(roles).items())))


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
