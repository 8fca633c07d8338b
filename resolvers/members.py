"""Reads members with their roles and organizations, a whole page with a few statements."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from db.database import Database
from db.feed.changes import Cursor, feed_head
from db.queries.chapters.organizations import OrganizationRow, organizations_by_id
from db.queries.chapters.roles import AssignmentRow, access_level, roles_held
from db.queries.keyset import PageRequest, Slice
from db.queries.members.member_pages import (
    MemberFilter,
    MemberOrder,
    MemberRow,
    member_by_portal_id,
    member_count,
    member_page,
    members_by_id,
)
from db.queries.members.visibility import Sight
from db.sessions import ReadSession
from db.vocabulary import AccessLevel, ActivationState, MemberId, OrganizationId, PortalId


@dataclass(frozen=True, slots=True)
class MemberFields:
    """The requested fields that cost a statement of their own."""

    roles: bool = True
    organizations: bool = True


class AssignmentView(msgspec.Struct, frozen=True):
    row: AssignmentRow
    organization: OrganizationRow | None


class MemberView(msgspec.Struct, frozen=True):
    """A member with the requested fields. `organizations` holds the home and those of roles."""

    row: MemberRow
    roles: Sequence[AssignmentRow]
    organizations: dict[OrganizationId, OrganizationRow]

    @property
    def home(self) -> OrganizationRow | None:
        return self._organization(self.row.organization_id)

    @property
    def assignments(self) -> list[AssignmentView]:
        return [
            AssignmentView(held, self._organization(held.organization_id)) for held in self.roles
        ]

    @property
    def display_name(self) -> str:
        row = self.row
        names = (name for name in (row.given_name, row.family_name) if name)
        return " ".join(names) or row.member_number or row.portal_id

    @property
    def access_level(self) -> AccessLevel:
        return access_level(self.roles, active=self.row.state is ActivationState.ACTIVE)

    def is_seen_by(self, sight: Sight) -> bool:
        """Returns True when the sight shows the member, whose roles must have been loaded."""
        places = _places([self.row], self.roles)
        return sight.sees_member(self.row.id, places)

    def _organization(self, id: OrganizationId | None) -> OrganizationRow | None:
        return None if id is None else self.organizations.get(id)


@dataclass(frozen=True, slots=True)
class MemberPage:
    members: Slice[MemberView]
    total: int | None
    cursor: Cursor | None


async def page_of_members(
    database: Database,
    sight: Sight,
    filter: MemberFilter,
    order: MemberOrder,
    page: PageRequest,
    fields: MemberFields,
    *,
    want_total: bool,
    want_cursor: bool,
) -> MemberPage:
    """Reads a page. The cursor, if wanted, is of the same snapshot as the page."""
    async with database.read(snapshot=want_cursor) as session:
        cursor = await feed_head(session) if want_cursor else None
        found = await member_page(session, sight, filter, order, page)
        views = await view_members(session, found.rows, fields)
        total = await member_count(session, sight, filter) if want_total else None
    return MemberPage(Slice(views, found.keys, found.has_next, found.has_previous), total, cursor)


async def member_views(
    session: ReadSession, sight: Sight, ids: Collection[MemberId], fields: MemberFields
) -> dict[MemberId, MemberView]:
    """Returns those of the members whom the sight shows."""
    rows = await members_by_id(session, sight, ids)
    views = await view_members(session, list(rows.values()), fields)
    return {view.row.id: view for view in views}


async def member_view_by_portal_id(
    session: ReadSession, sight: Sight, portal_id: PortalId, fields: MemberFields
) -> MemberView | None:
    row = await member_by_portal_id(session, sight, portal_id)
    return None if row is None else (await view_members(session, [row], fields))[0]


async def view_members(
    session: ReadSession,
    rows: Sequence[MemberRow],
    fields: MemberFields,
    roles: Mapping[MemberId, Sequence[AssignmentRow]] | None = None,
) -> list[MemberView]:
    """Loads the fields of all rows with two statements, or one when `roles` are known."""
    if roles is None:
        roles = await roles_held(session, [row.id for row in rows]) if fields.roles else {}
    organizations: dict[OrganizationId, OrganizationRow] = {}
    if fields.organizations:
        held = [assignment for assignments in roles.values() for assignment in assignments]
        organizations = await organizations_by_id(session, _places(rows, held))
    return [MemberView(row, roles.get(row.id, ()), organizations) for row in rows]


def _places(rows: Iterable[MemberRow], held: Iterable[AssignmentRow]) -> set[OrganizationId]:
    places = {row.organization_id for row in rows}
    places |= {assignment.organization_id for assignment in held}
    return {place for place in places if place is not None}
