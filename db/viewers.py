"""Who is asking, as the database knows them at this moment: their roles, and what they may see."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, bindparam, func, select

from db.among import among_parameter
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


# One row for each role held, or a single one for somebody without roles: most requests need no
# other statement to know who is asking.
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
    """The chapters coordinated with all below them, and whether they are administered as well.
    UNION, so that a cycle in the portal's tree ends."""
    tree = (
        select(
            Organization.id,
            among_parameter(Organization.id, "administered").label("administered"),
        )
        .where(among_parameter(Organization.id, "coordinated"))
        .cte("tree", recursive=True)
    )
    below = select(Organization.id, tree.c.administered).join(
        tree, Organization.parent_id == tree.c.id
    )
    tree = tree.union(below)
    return select(tree.c.id, tree.c.administered)


_SIGHT = HotStatement(_sight())


async def viewer_of_member(session: ReadSession, portal_id: PortalId) -> Viewer | None:
    """None for an unknown person. An inactive one sees nothing."""
    rows = await session.hot(_MEMBER_AND_ROLES, {"portal_id": portal_id})
    if not rows:
        return None
    width = len(_MEMBER)
    member = MemberRow(*rows[0][:width])
    if member.state is not ActivationState.ACTIVE:
        return Viewer(Scope(), AccessLevel.NONE, member)
    roles = tuple(_assignment(row[width:]) for row in rows if row[width])
    accesses = _accesses(roles)
    coordinated = _at_least(AccessLevel.COORDINATOR, accesses)
    scope = Scope(member_id=member.id)
    if coordinated:
        administered = _at_least(AccessLevel.ADMIN, accesses)
        roots = {"coordinated": coordinated, "administered": administered}
        seen = await session.hot(_SIGHT, roots)
        scope = Scope(
            member_id=member.id,
            coordinated=frozenset(OrganizationId(id) for id, _ in seen),
            administered=frozenset(OrganizationId(id) for id, administers in seen if administers),
        )
    level = access_level(roles, active=True)
    return Viewer(scope, level, member, roles, tuple(sorted(accesses.items())))


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


def _at_least(
    level: AccessLevel, accesses: dict[OrganizationId, AccessLevel]
) -> list[OrganizationId]:
    return [organization for organization, held in accesses.items() if held >= level]
