"""The root type of queries."""

from collections.abc import Sequence
from typing import Annotated, cast

import strawberry

from db.queries.chapters.organizations import (
    OrganizationRow,
    organization_by_portal_id,
    organizations_by_id,
)
from db.queries.chapters.roles import holders, role_by_id, role_catalogue
from db.queries.log.sync_health import sync_health
from db.queries.members.viewers import Viewer
from db.queries.runs.reconciliations import runs_by_id
from db.sessions import ReadSession
from db.vocabulary import (
    AssignmentId,
    EntryId,
    MemberId,
    OrganizationId,
    RoleId,
    canonical_portal_id,
)
from resolvers.members import (
    AssignmentView,
    MemberFields,
    member_view_by_portal_id,
    member_views,
)
from resolvers.source_views import source_views
from resolvers.sync_log import entry_views
from schema.access import (
    require_log_reader,
    require_operator,
    require_reconciler,
    require_viewer,
)
from schema.context import Info
from schema.errors import BadUserInputError
from schema.streaming import stream_begin
from schema.types import loading
from schema.types.administration.audit import AuditTrailConnection, audit_trail_connection
from schema.types.administration.concerns import ConcernType, concern_number
from schema.types.administration.health import SyncHealth
from schema.types.administration.runs_of_sources import (
    ReconciliationConnection,
    ReconciliationType,
    SourceType,
    reconciliation_connection,
)
from schema.types.connections import (
    After,
    Before,
    First,
    Last,
    PageArguments,
)
from schema.types.costs import COUNTING, cost, list_size, listed_by, paged_by, sized_by
from schema.types.inputs import (
    MemberFilterArgument,
    MemberLookup,
    MemberOrderArgument,
    OrganizationArgument,
    OrganizationLookup,
    SyncLogFilterArgument,
)
from schema.types.loading import entry_fields, member_fields
from schema.types.member_changes import MemberChangePage, member_change_page
from schema.types.nodes import (
    MemberConnection,
    MemberType,
    Node,
    OrganizationConnection,
    OrganizationType,
    RoleAssignmentType,
    RoleType,
    SyncLogConnection,
    SyncLogEntryType,
    member_connection,
    organization_connection,
    sync_log_connection,
)
from schema.types.opaque import parse_change_cursor, parse_global_id, row_id, storable
from schema.types.scalars import ChangeCursor
from schema.types.viewer import ViewerType, load_viewer, viewer_fields

MAX_NODES = 100


@strawberry.type(description="All queries.")
class Query:
    @strawberry.field(description="The current viewer; null when anonymous.")
    async def viewer(self, info: Info) -> ViewerType | None:
        viewer = await info.context.viewer()
        return (
            None if viewer is None else await load_viewer(info.context, viewer, viewer_fields(info))
        )

    @strawberry.field(
        description="An object by its id; null if it does not exist or is not visible."
    )
    async def node(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The id.")],
    ) -> Node | None:
        await require_viewer(info.context)
        [found] = await _nodes(info, [parse_global_id(id, "id")])
        return cast("Node | None", found)

    @strawberry.field(
        description="Objects by their ids, in the order of the ids; null for those that do not "
        "exist or are not visible.",
        directives=[sized_by("ids")],
    )
    async def nodes(
        self,
        info: Info,
        ids: Annotated[
            list[strawberry.ID], strawberry.argument(description="The ids; at most 100.")
        ],
    ) -> list[Node | None]:
        if len(ids) > MAX_NODES:
            raise BadUserInputError(f"There are {len(ids)} ids; the limit is {MAX_NODES}.", "ids")
        found = await _nodes(info, [_key_or_error(id) for id in ids])
        # An error in its place becomes null with that error.
        return cast("list[Node | None]", found)

    @strawberry.field(description="An organization; null if it does not exist.")
    async def organization(
        self,
        info: Info,
        by: Annotated[
            OrganizationLookup, strawberry.argument(description="The id of the organization.")
        ],
    ) -> OrganizationType | None:
        await require_viewer(info.context)
        if isinstance(by.id, str):
            key = OrganizationId(row_id(by.id, "Organization", "by.id"))
            row = await info.context.loader(loading.organizations).load(key)
        else:
            text = storable((by.portal_id or "").strip(), "by.portalId")
            async with info.context.database.read() as session:
                row = await organization_by_portal_id(session, canonical_portal_id(text))
        return None if row is None else OrganizationType(row)

    @strawberry.field(
        description="All organizations, ordered by name.", directives=[paged_by("first", "last")]
    )
    async def organizations(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> OrganizationConnection:
        await require_viewer(info.context)
        page = PageArguments(first, after, last, before)
        return await organization_connection(info, page)

    @strawberry.field(description="A member; null if they do not exist or are not visible.")
    async def member(
        self,
        info: Info,
        by: Annotated[MemberLookup, strawberry.argument(description="The id of the member.")],
    ) -> MemberType | None:
        viewer = await require_viewer(info.context)
        fields = member_fields(info)
        async with info.context.database.read() as session:
            if isinstance(by.id, str):
                key = MemberId(row_id(by.id, "Member", "by.id"))
                view = (await member_views(session, viewer.sight, [key], fields)).get(key)
            else:
                text = storable((by.portal_id or "").strip(), "by.portalId")
                portal_id = canonical_portal_id(text)
                view = await member_view_by_portal_id(session, viewer.sight, portal_id, fields)
        return None if view is None else MemberType(view)

    @strawberry.field(
        description="The members that the viewer may see.", directives=[paged_by("first", "last")]
    )
    async def members(
        self,
        info: Info,
        organization_id: OrganizationArgument = None,
        filter: MemberFilterArgument = None,
        order_by: MemberOrderArgument = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> MemberConnection:
        page = PageArguments(first, after, last, before)
        return await member_connection(info, organization_id, filter, order_by, page)

    @strawberry.field(
        description="The changes of members after a cursor, for who was away: those that "
        "`memberChanges` sends.",
        directives=[listed_by("changes", "first")],
    )
    async def changes(
        self,
        info: Info,
        after: Annotated[
            ChangeCursor,
            strawberry.argument(
                description="The `changeCursor` of the page that is kept, then the last `cursor`."
            ),
        ],
        first: Annotated[
            int | None,
            strawberry.argument(description="The most changes: 1 to 100; 25 by default."),
        ] = None,
    ) -> MemberChangePage:
        context = info.context
        await require_viewer(context)
        size = PageArguments(first).size()
        start = await stream_begin(context, parse_change_cursor(after, "after"))
        fields = member_fields(info, "changes", "member")
        return member_change_page(await context.pages.page(start, size, fields))

    @strawberry.field(
        description="The role catalogue, ordered by access level, the highest first.",
        directives=[list_size(10)],
    )
    async def roles(self, info: Info) -> list[RoleType]:
        await require_viewer(info.context)
        async with info.context.database.read() as session:
            return [RoleType(row) for row in await role_catalogue(session)]

    @strawberry.field(
        description="The sync log, newest first. For administrators.",
        directives=[paged_by("first", "last")],
    )
    async def sync_log(
        self,
        info: Info,
        organization_id: OrganizationArgument = None,
        filter: SyncLogFilterArgument = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> SyncLogConnection:
        await require_log_reader(info)
        page = PageArguments(first, after, last, before)
        return await sync_log_connection(info, organization_id, filter, page)

    @strawberry.field(
        description="The health of the sync. For administrators.", directives=[cost(COUNTING)]
    )
    async def sync_health(self, info: Info) -> SyncHealth:
        await require_log_reader(info)
        now = info.context.clock()
        async with info.context.database.read() as session:
            row = await sync_health(session, now)
        return SyncHealth.from_row(row, now, await info.context.concerns.standing())

    @strawberry.field(
        description="The sources of the settings, by name, and what came from each. For "
        "administrators of the national body.",
        directives=[cost(COUNTING), list_size(5)],
    )
    async def sources(self, info: Info) -> list[SourceType]:
        await require_reconciler(info)
        context = info.context
        views = await source_views(context.database, context.sources, context.clock())
        return [SourceType(view) for view in views]

    @strawberry.field(
        description="The runs that compared sources with what is known here, newest first. For "
        "administrators of the national body.",
        directives=[paged_by("first", "last")],
    )
    async def reconciliations(
        self,
        info: Info,
        source: Annotated[
            str | None, strawberry.argument(description="Only runs of the source of this name.")
        ] = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> ReconciliationConnection:
        await require_reconciler(info)
        page = PageArguments(first, after, last, before)
        return await reconciliation_connection(info, source, page)

    @strawberry.field(
        description="The audit trail, newest first. For operators.",
        directives=[paged_by("first", "last")],
    )
    async def audit_trail(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> AuditTrailConnection:
        await require_operator(info)
        return await audit_trail_connection(info, PageArguments(first, after, last, before))


def _key_or_error(id: strawberry.ID) -> tuple[str, int] | BadUserInputError:
    try:
        return parse_global_id(id, "ids")
    except BadUserInputError as error:
        return error


async def _nodes(
    info: Info, keys: Sequence[tuple[str, int] | BadUserInputError]
) -> list[Node | BadUserInputError | None]:
    """Returns the nodes in the order of the keys, and errors in their places. Absent and hidden
    nodes are None alike."""
    viewer = await require_viewer(info.context)
    wanted: dict[str, list[int]] = {}
    for key in keys:
        if not isinstance(key, BadUserInputError):
            wanted.setdefault(key[0], []).append(key[1])
    found: dict[tuple[str, int], Node] = {}
    async with info.context.database.read() as session:
        members = await member_views(
            session,
            viewer.sight,
            [MemberId(n) for n in wanted.get("Member", ())],
            member_fields(info),
        )
        entries = await entry_views(
            session,
            viewer.sight,
            [EntryId(n) for n in wanted.get("SyncLogEntry", ())],
            entry_fields(info),
        )
        organizations: dict[OrganizationId, OrganizationRow] = await organizations_by_id(
            session, [OrganizationId(n) for n in wanted.get("Organization", ())]
        )
        assignments = await _assignments(info, session, viewer, wanted.get("RoleAssignment", ()))
        if viewer.is_national:
            runs = await runs_by_id(session, wanted.get("Reconciliation", ()))
            found |= {("Reconciliation", id): ReconciliationType(run) for id, run in runs.items()}
        for number in wanted.get("Role", ()):
            role = await role_by_id(session, RoleId(number))
            if role is not None:
                found["Role", number] = RoleType(role)
    if wanted.get("Concern") and viewer.sight.sees_log:
        for concern in await info.context.concerns.standing():
            found["Concern", concern_number(concern.key)] = ConcernType(concern)
    found |= {("Member", id): MemberType(view) for id, view in members.items()}
    found |= {("SyncLogEntry", id): SyncLogEntryType(view) for id, view in entries.items()}
    found |= {("Organization", id): OrganizationType(r) for id, r in organizations.items()}
    found |= {("RoleAssignment", id): RoleAssignmentType(v) for id, v in assignments.items()}
    return [key if isinstance(key, BadUserInputError) else found.get(key) for key in keys]


async def _assignments(
    info: Info, session: ReadSession, viewer: Viewer, numbers: Sequence[int]
) -> dict[AssignmentId, AssignmentView]:
    """Returns those of the assignments whose holders the viewer may see."""
    if not numbers:
        return {}
    by_assignment = await holders(session, [AssignmentId(number) for number in numbers])
    fields = MemberFields(roles=True, organizations=True)
    members = await member_views(session, viewer.sight, set(by_assignment.values()), fields)
    return {
        held.row.id: held
        for view in members.values()
        for held in view.assignments
        if held.row.id in by_assignment
    }
