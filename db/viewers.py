"""Who is asking, as the database knows them at this moment: their roles, and what they may see."""

from dataclasses import dataclass

from db.member_pages import MemberRow, member_by_portal_id
from db.organizations import subtree
from db.roles import AssignmentRow, access_level, roles_held
from db.unit_of_work import ReadSession
from db.visibility import Scope
from db.vocabulary import AccessLevel, ActivationState, OrganizationId, PortalId

_EVERYTHING = Scope(everything=True)


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


async def viewer_of_member(session: ReadSession, portal_id: PortalId) -> Viewer | None:
    """None for an unknown person. An inactive one sees nothing."""
    member = await member_by_portal_id(session, _EVERYTHING, portal_id)
    if member is None:
        return None
    if member.state is not ActivationState.ACTIVE:
        return Viewer(Scope(), AccessLevel.NONE, member)
    roles = (await roles_held(session, [member.id]))[member.id]
    accesses = _accesses(roles)
    scope = Scope(
        member_id=member.id,
        coordinated=await subtree(session, _at_least(AccessLevel.COORDINATOR, accesses)),
        administered=await subtree(session, _at_least(AccessLevel.ADMIN, accesses)),
    )
    level = access_level(roles, active=True)
    return Viewer(scope, level, member, tuple(roles), tuple(sorted(accesses.items())))


def _accesses(roles: list[AssignmentRow]) -> dict[OrganizationId, AccessLevel]:
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
