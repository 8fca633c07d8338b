"""Who is asking, as the database knows them at this moment: their roles, and what they may see."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, bindparam, func, select

from db.combined import Query, SqlRow
from db.hot import HotStatement
from db.member_pages import MemberRow
from db.models import Member, Organization, Role, RoleAssignment
from db.roles import AssignmentRow, RoleRow, access_level
from db.unit_of_work import ReadSession
from db.visibility import Scope
from db.vocabulary import AccessLevel, ActivationState, OrganizationId, PortalId

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
    .where(Member.portal_id == bindparam("portal_id"))
    .order_by(Role.access_level.desc(), Role.code, RoleAssignment.id)
)


def _sight() -> Select[int, bool]:
    """The chapters somebody coordinates with all below them, and whether they administer them as
    well. UNION, so that a cycle in the portal's tree ends."""
    place = func.coalesce(RoleAssignment.organization_id, Member.organization_id)
    held = (
        select(place.label("id"), (Role.access_level >= AccessLevel.ADMIN).label("administered"))
        .select_from(RoleAssignment)
        .join(Role, Role.id == RoleAssignment.role_id)
        .join(Member, Member.id == RoleAssignment.member_id)
        .where(
            Member.portal_id == bindparam("portal_id"),
            Role.access_level >= AccessLevel.COORDINATOR,
            place.is_not(None),
        )
    )
    tree = held.cte("tree", recursive=True)
    below = select(Organization.id, tree.c.administered).join(
        tree, Organization.parent_id == tree.c.id
    )
    tree = tree.union(below)
    return select(tree.c.id, tree.c.administered)


_SIGHT = HotStatement(_sight())


async def viewer_of_member(session: ReadSession, portal_id: PortalId) -> Viewer | None:
    """None for an unknown person. An inactive one sees nothing. One round trip: every request
    begins with it."""
    asked = {"portal_id": portal_id}
    person: Query[Sequence[SqlRow]] = Query(_MEMBER_AND_ROLES, asked, lambda rows: rows)
    sight: Query[Sequence[SqlRow]] = Query(_SIGHT, asked, lambda rows: rows)
    await session.fetch(person, sight)
    rows, seen = person.found, sight.found
    if not rows:
        return None
    width = len(_MEMBER)
    member = MemberRow(*rows[0][:width])
    if member.state is not ActivationState.ACTIVE:
        return Viewer(Scope(), AccessLevel.NONE, member)
    roles = tuple(_assignment(row[width:]) for row in rows if row[width])
    scope = Scope(
        member_id=member.id,
        coordinated=frozenset(OrganizationId(id) for id, _ in seen),
        administered=frozenset(OrganizationId(id) for id, administers in seen if administers),
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
