"""Who is asking, as they see themselves."""

from dataclasses import dataclass
from datetime import datetime

import strawberry

from db.queries.organizations import organizations_by_id
from db.queries.viewers import Viewer as ViewerNow
from db.vocabulary import AccessLevel
from resolvers.members import MemberWants, view_members
from schema.context import Context, Info
from schema.engine.lookahead import selected
from schema.types.costs import about
from schema.types.nodes import Member, Organization, member_wants


@strawberry.type(description="What the viewer may do in one organization.")
class OrganizationAccess:
    organization: Organization = strawberry.field(description="Where; and in those below it.")
    access_level: AccessLevel = strawberry.field(description="The highest level held there.")


@strawberry.type(description="Who is asking, and what they may do now.")
class Viewer:
    member: Member | None = strawberry.field(description="The viewer; null for an operator.")
    access_level: AccessLevel = strawberry.field(
        description="The highest access level held anywhere, as the database has it now."
    )
    accesses: list[OrganizationAccess] = strawberry.field(
        description="Where the viewer holds which access level.", directives=[about(3)]
    )
    credentials_expire_at: datetime | None = strawberry.field(
        description="When the token ends; null if it does not."
    )


@dataclass(frozen=True, slots=True)
class ViewerWants:
    """What to load besides what is known of a viewer."""

    member: MemberWants | None
    accesses: bool


def viewer_wants(info: Info, *path: str) -> ViewerWants:
    """What was asked for at the path."""
    fields = selected(info, *path)
    member = member_wants(info, *path, "member") if "member" in fields else None
    return ViewerWants(member, accesses="accesses" in fields)


async def viewer_type(context: Context, viewer: ViewerNow, wants: ViewerWants) -> Viewer:
    member = None
    organizations = {}
    if viewer.member is not None and wants.member is not None:
        async with context.database.read() as session:
            known = {viewer.member.id: viewer.roles}
            (view,) = await view_members(session, [viewer.member], wants.member, known)
        member = Member(view)
    if wants.accesses and viewer.accesses:
        async with context.database.read() as session:
            ids = [id for id, _ in viewer.accesses]
            organizations = await organizations_by_id(session, ids)
    credentials = context.credentials
    return Viewer(
        member=member,
        access_level=viewer.access_level,
        accesses=[
            OrganizationAccess(organization=Organization(organizations[id]), access_level=level)
            for id, level in viewer.accesses
            if id in organizations
        ],
        credentials_expire_at=None if credentials is None else credentials.expires_at,
    )
