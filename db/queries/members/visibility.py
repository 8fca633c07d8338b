"""Visibility: the rule of who sees which members and log entries. It stands here twice, as a
condition on rows and as a test of a change's facts; a test compares the two."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, bindparam, exists, false, or_, true

from db.driver.statements.any_of import any_of_parameter
from db.tables.models import Member, RoleAssignment, SyncLogEntry
from db.vocabulary import MemberId, OrganizationId


@dataclass(frozen=True, slots=True)
class Sight:
    """The sight of a viewer at this moment.

    Operators, and those who look from the national body, see all members or the whole log, also
    what belongs to no organization. Others see themselves, the members of the organizations they
    coordinate, and the log of those they administer.
    """

    all_members: bool = False
    all_entries: bool = False
    member_id: MemberId | None = None
    coordinated: frozenset[OrganizationId] = frozenset()
    administered: frozenset[OrganizationId] = frozenset()

    def sees_member(self, member_id: int, organization_ids: Iterable[int]) -> bool:
        """Says whether a member is visible who belongs or holds a role in these organizations."""
        return (
            self.all_members
            or member_id == self.member_id
            or not self.coordinated.isdisjoint(organization_ids)
        )

    def sees_entry(self, organization_id: int | None) -> bool:
        return self.all_entries or organization_id in self.administered

    @property
    def sees_others(self) -> bool:
        return self.all_members or bool(self.coordinated)

    @property
    def sees_log(self) -> bool:
        return self.all_entries or bool(self.administered)

    def shared(self) -> "Sight":
        """Returns an equal sight that several viewers can share: without the member's own id when
        they see others, because they hold a role there and are seen anyway."""
        return replace(self, member_id=None) if self.sees_others else self


EVERYTHING = Sight(all_members=True, all_entries=True)


def members_in(organization_ids: frozenset[OrganizationId], name: str) -> ColumnElement[bool]:
    """Selects members who belong to one of these organizations or hold a role in one.

    The ids are bound later, as the parameter `name`; this only checks whether there are any.
    """
    if not organization_ids:
        return false()
    return or_(
        any_of_parameter(Member.organization_id, name),
        exists()
        .where(RoleAssignment.member_id == Member.id)
        .where(any_of_parameter(RoleAssignment.organization_id, name)),
    )


def visible_members(sight: Sight) -> ColumnElement[bool]:
    if sight.all_members:
        return true()
    myself = bindparam("viewer_id", type_=Member.id.type)
    return or_(Member.id == myself, members_in(sight.coordinated, "coordinated"))


def visible_entries(sight: Sight) -> ColumnElement[bool]:
    if sight.all_entries:
        return true()
    if not sight.administered:
        return false()
    return any_of_parameter(SyncLogEntry.organization_id, "administered")


def sight_shape(sight: Sight) -> tuple[bool, ...]:
    """Returns a key for the SQL of this sight. Sights with the same key share a statement and
    differ in the values of its parameters only."""
    return sight.all_members, sight.all_entries, bool(sight.coordinated), bool(sight.administered)


def sight_values(sight: Sight) -> dict[str, Any]:
    """Returns the values of the parameters of both conditions."""
    return {
        "viewer_id": sight.member_id,
        "coordinated": list(sight.coordinated),
        "administered": list(sight.administered),
    }
