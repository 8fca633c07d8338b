"""The viewer and their access."""

from dataclasses import dataclass
from datetime import datetime

import strawberry

from db.queries.chapters.organizations import organizations_by_id
from db.queries.members.viewers import Viewer
from db.vocabulary import AccessLevel
from resolvers.members import MemberFields, view_members
from schema.context import Context, Info
from schema.engine.lookahead import selected
from schema.types.costs import list_size
from schema.types.loading import member_fields
from schema.types.nodes import MemberType, OrganizationType
from schema.types.opaque import global_id


@strawberry.type(description="The access of the viewer in an organization.")
class OrganizationAccess:
    id: strawberry.ID = strawberry.field(
        description="The id: that of the viewer's access in this organization."
    )
    organization: OrganizationType = strawberry.field(
        description="The organization; the access holds in those below it as well."
    )
    access_level: AccessLevel = strawberry.field(description="The highest level held there.")


@strawberry.type(name="Viewer", description="The current viewer and their access.")
class ViewerType:
    id: strawberry.ID = strawberry.field(
        description="The id; another one for each person who signs in."
    )
    member: MemberType | None = strawberry.field(
        description="The viewer as a member; null for an operator."
    )
    access_level: AccessLevel = strawberry.field(
        description="The highest access level held anywhere."
    )
    accesses: list[OrganizationAccess] = strawberry.field(
        description="The access level in each organization where the viewer holds a role.",
        directives=[list_size(3)],
    )
    national: bool = strawberry.field(
        description="True for operators and administrators of the national body, who look after "
        "the role catalogue and what belongs to no organization."
    )
    credentials_expire_at: datetime | None = strawberry.field(
        description="The time at which the token expires."
    )


@dataclass(frozen=True, slots=True)
class ViewerFields:
    """The requested fields that cost a statement of their own."""

    member: MemberFields | None
    accesses: bool


def viewer_fields(info: Info, *path: str) -> ViewerFields:
    """Returns what to load for the viewer at the path below the current field."""
    fields = selected(info, *path)
    member = member_fields(info, *path, "member") if "member" in fields else None
    return ViewerFields(member, accesses="accesses" in fields)


async def load_viewer(context: Context, viewer: Viewer, fields: ViewerFields) -> ViewerType:
    member = None
    organizations = {}
    if viewer.member is not None and fields.member is not None:
        async with context.database.read() as session:
            known = {viewer.member.id: viewer.roles}
            (view,) = await view_members(session, [viewer.member], fields.member, known)
        member = MemberType(view)
    if fields.accesses and viewer.accesses:
        async with context.database.read() as session:
            ids = [id for id, _ in viewer.accesses]
            organizations = await organizations_by_id(session, ids)
    credentials = context.credentials
    # Operators are no members, and share an id.
    number = 0 if viewer.member is None else viewer.member.id
    return ViewerType(
        id=strawberry.ID(global_id("Viewer", number)),
        member=member,
        access_level=viewer.access_level,
        accesses=[
            OrganizationAccess(
                id=strawberry.ID(global_id(f"OrganizationAccess:{number}", id)),
                organization=OrganizationType(organizations[id]),
                access_level=level,
            )
            for id, level in viewer.accesses
            if id in organizations
        ],
        national=viewer.is_national,
        credentials_expire_at=None if credentials is None else credentials.expires_at,
    )
