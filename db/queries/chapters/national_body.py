"""The national body: the organization whose administrators look after the whole register."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ScalarSelect,
    Text,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    select,
    type_coerce,
)
from sqlalchemy.orm import aliased

from db.sessions import ReadSession
from db.tables.models import Member, Organization, Role, RoleAssignment
from db.vocabulary import AccessLevel, ActivationState, PortalId

# Where a role is held: without an organization of its own, in the home organization.
_PLACE = func.coalesce(RoleAssignment.organization_id, Member.organization_id)


# The keys of this JSON object are the names of the parts that were stated.
HAS_STATED_PARENT = type_coerce(Organization.as_of, Text).like(literal_column("'%\"parent\":%'"))
"""Selects the organizations of which it was stated what is above them, or that nothing is."""


@dataclass(frozen=True, slots=True)
class NationalBody:
    """Says which organization is the national body: the one with this portal id.

    Without a portal id there is none, or, when it may be guessed, it is the one root that has
    children. A chapter is a root once the portal has said that there is none above it.
    """

    portal_id: PortalId | None = None
    guessed: bool = False

    def id(self) -> ScalarSelect[int]:
        """Returns the subquery of its id, which gives NULL while there is no national body."""
        if self.portal_id is not None or not self.guessed:
            named = bindparam("national_body", self.portal_id, type_=Text())
            return select(Organization.id).where(Organization.portal_id == named).scalar_subquery()
        child = aliased(Organization)
        only = case((func.count() == literal_column("1"), func.min(Organization.id)))
        return (
            select(only)
            .where(
                Organization.stated_parent_id.is_(None),
                HAS_STATED_PARENT,
                exists().where(child.parent_id == Organization.id),
            )
            .scalar_subquery()
        )

    def parameters(self) -> dict[str, Any]:
        """Returns the parameters of the subquery, for compiled statements."""
        return {} if self.portal_id is None and self.guessed else {"national_body": self.portal_id}


async def has_national_administrator(
    session: ReadSession, body: NationalBody, *, without_role: str | None = None
) -> bool:
    """Returns True while an active member holds a role of level ADMIN in the national body, other
    than the one of this code."""
    found = (
        select(RoleAssignment.id)
        .join(Role, Role.id == RoleAssignment.role_id)
        .join(Member, Member.id == RoleAssignment.member_id)
        .where(
            body.id() == _PLACE,
            Role.access_level == AccessLevel.ADMIN,
            Member.state == ActivationState.ACTIVE,
        )
    )
    if without_role is not None:
        found = found.where(Role.code != without_role)
    return await session.scalar(found.limit(1)) is not None
