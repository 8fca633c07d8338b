"""The types with an id: members, organizations, roles and sync-log entries, in one module because
they refer to each other in circles."""

from datetime import datetime

import strawberry
from graphql import OperationType

from db.queries.chapters.organizations import (
    OrganizationRow,
    first_page_of,
    organization_count,
    organization_page,
    page_below,
)
from db.queries.chapters.roles import RoleRow
from db.queries.log.attempt_records import Attempt
from db.queries.log.entries import EntrySelection
from db.queries.members.member_pages import MemberOrderField, member_count
from db.tables.facts import FieldChange
from db.vocabulary import (
    AccessLevel,
    ActivationState,
    AttemptTrigger,
    SyncOutcome,
    SyncStatus,
)
from resolvers.members import AssignmentView, MemberView, page_of_members
from resolvers.provenance import PartView
from resolvers.sync_log import EntryView, FirstPage, page_of_entries
from schema.access import require_log_reader, require_viewer
from schema.context import Info
from schema.engine.lookahead import selected
from schema.engine.views import View, from_view, view_type
from schema.errors import ForbiddenError
from schema.types import loading
from schema.types.connections import (
    After,
    Before,
    EdgeView,
    First,
    Last,
    PageArguments,
    PageInfo,
    PageView,
    itself,
)
from schema.types.costs import COUNTING, cost, list_size, paged_by, usual_edges
from schema.types.inputs import (
    MemberFilterArgument,
    MemberFilterInput,
    MemberOrderArgument,
    MemberOrderInput,
    SyncLogFilterInput,
)
from schema.types.loading import entry_fields, entry_filter, member_fields, member_filter
from schema.types.opaque import global_id
from schema.types.scalars import ChangeCursor

_KEY_TYPES: dict[MemberOrderField, tuple[type, ...]] = {
    MemberOrderField.NAME: (str, int),
    MemberOrderField.MEMBER_NUMBER: (str, int),
    MemberOrderField.UPDATED_AT: (datetime, int),
}


ID = "The id: opaque, and never changes."


@strawberry.interface(description="An object with an id (Relay).")
class Node:
    id: strawberry.ID = strawberry.field(description=ID)


@view_type(
    "An entry of the role catalogue: a role of the portal, and the access level it gives.",
    name="Role",
)
class RoleType(View[RoleRow], Node):
    repeated = True

    id: strawberry.ID = from_view(lambda row: global_id("Role", row.id), ID)
    code: str = from_view("code", "The code in the portal, such as `peer-mentor`.")
    name: str = from_view("name", "The name.")
    access_level: AccessLevel = from_view("access_level", "The access level that the role gives.")
    decided: bool = from_view(
        "decided",
        "True when an administrator has set the access level, or it is one of the first roles. "
        "False for a code that came with an event, which gives MEMBER until then.",
    )

    @strawberry.field(
        description="The number of members who hold the role.", directives=[cost(COUNTING)]
    )
    async def holder_count(self, info: Info) -> int:
        return await info.context.loader(loading.holder_counts).load(self.view.id)


@view_type("A chapter of the association. Chapters form a tree.", name="Organization")
class OrganizationType(View[OrganizationRow], Node):
    repeated = True

    id: strawberry.ID = from_view(lambda row: global_id("Organization", row.id), ID)
    portal_id: str = from_view("portal_id", "The id in the portal.")
    name: str | None = from_view("name", "The name; null until the portal sends it.")
    closed: bool = from_view("closed", "True when the portal says that the chapter is closed.")

    @strawberry.field(description="The chapter above; null for the national body.")
    async def parent(self, info: Info) -> "OrganizationType | None":
        if self.view.parent_id is None:
            return None
        row = await info.context.loader(loading.organizations).load(self.view.parent_id)
        return None if row is None else OrganizationType(row)

    @strawberry.field(
        description="The chapters above, from the national body on, and this one last.",
        directives=[list_size(4)],
    )
    async def path(self, info: Info) -> "list[OrganizationType]":
        path = [self.view]
        while (above := path[0].parent_id) is not None:
            row = await info.context.loader(loading.organizations).load(above)
            if row is None:
                break
            path.insert(0, row)
        return [OrganizationType(row) for row in path]

    @strawberry.field(
        description="The access level of the viewer in this chapter, by roles held here or above."
    )
    async def viewer_access_level(self, info: Info) -> AccessLevel:
        return (await require_viewer(info.context)).access_level_in(self.view.id)

    @strawberry.field(
        description="The number of active members whom the viewer may see, who belong to this "
        "chapter or one below it, or hold a role there.",
        directives=[cost(COUNTING)],
    )
    async def member_count(self, info: Info) -> int:
        viewer = await require_viewer(info.context)
        active = MemberFilterInput(state=[ActivationState.ACTIVE])
        filter = await member_filter(info.context, self.id, active)
        async with info.context.database.read() as session:
            return await member_count(session, viewer.sight, filter)

    @strawberry.field(
        description="The chapters directly below, ordered by name.",
        directives=[usual_edges(10)],
    )
    async def children(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> "OrganizationConnection":
        page = PageArguments(first, after, last, before).request("children", (str, int))
        rows = await info.context.loader(loading.children).load(self.view.id)
        if page.start is None and not page.backward:
            # The first pages of all chapters of a list are read at once.
            found = first_page_of(rows, page.size)
        else:
            async with info.context.database.read() as session:
                found = await page_below(session, self.view.id, page)
        return OrganizationConnection(PageView("children", found, len(rows)))

    @strawberry.field(
        description="The visible members who belong to this chapter or one below it, or hold a "
        "role there.",
        directives=[paged_by("first", "last")],
    )
    async def members(
        self,
        info: Info,
        filter: MemberFilterArgument = None,
        order_by: MemberOrderArgument = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> "MemberConnection":
        page = PageArguments(first, after, last, before)
        return await member_connection(info, self.id, filter, order_by, page)


@view_type("An organization in a page.")
class OrganizationEdge(View[EdgeView[OrganizationRow]]):
    cursor: str = from_view("cursor", "The cursor of this edge, for `after` and `before`.")
    node: OrganizationType = from_view("node", "The organization.")


@view_type("A page of organizations, ordered by name.")
class OrganizationConnection(View[PageView[OrganizationRow]]):
    edges: list[OrganizationEdge] = from_view("edges", "The organizations of this page.")
    page_info: PageInfo = from_view(itself, "The position of this page in the list.")
    total_count: int | None = from_view(
        "total",
        "The number of organizations in all pages.",
        directives=[cost(COUNTING)],
    )


@view_type("A role that a member holds in an organization.", name="RoleAssignment")
class RoleAssignmentType(View[AssignmentView], Node):
    id: strawberry.ID = from_view(lambda view: global_id("RoleAssignment", view.row.id), ID)
    role: RoleType = from_view("row.role", "The role.")
    organization: OrganizationType | None = from_view(
        "organization", "The organization; null for a home organization that is not known yet."
    )
    since: datetime = from_view(
        "row.since", "The time since which the member has held the role without a break."
    )


@view_type("A person known to the portal.", name="Member")
class MemberType(View[MemberView], Node):
    id: strawberry.ID = from_view(lambda view: global_id("Member", view.row.id), ID)
    portal_id: str = from_view(
        "row.portal_id", "The id in the portal (the GUID of the contact in Dataverse)."
    )
    member_number: str | None = from_view("row.member_number", "The member number.")
    given_name: str | None = from_view("row.given_name", "The given name.")
    family_name: str | None = from_view("row.family_name", "The family name.")
    display_name: str = from_view(
        "display_name",
        "The given and family name; the member number or portal id if there is no name.",
    )
    email: str | None = from_view("row.email", "The e-mail address.")
    phone: str | None = from_view("row.phone", "The telephone number, as written in the portal.")
    state: ActivationState = from_view("row.state", "The state of the membership.")
    state_changed_at: datetime | None = from_view(
        "row.state_changed_at",
        "The time since which the member is in this state; null if the portal has not said.",
    )
    access_level: AccessLevel = from_view(
        "access_level", "The highest level of the roles held; NONE while inactive."
    )
    organization: OrganizationType | None = from_view("home", "The home organization.")
    roles: list[RoleAssignmentType] = from_view(
        "assignments", "All roles held, in any organization.", directives=[list_size(3)]
    )
    updated_at: datetime = from_view(
        "row.updated_at", "The time at which an event last changed the member."
    )

    @strawberry.field(
        description="The log entries about this member, newest first. For administrators.",
        directives=[paged_by("first", "last")],
    )
    async def sync_log(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> "SyncLogConnection":
        await require_log_reader(info)
        arguments = PageArguments(first, after, last, before)
        if (after, last, before) != (None, None, None):
            filter = SyncLogFilterInput(member_id=self.id)
            return await sync_log_connection(info, None, filter, arguments)
        # The first pages of all members of a list are read at once.
        fields = selected(info)
        page = FirstPage(
            arguments.request("syncLog", (int, int)).size,
            entry_fields(info, "edges", "node"),
            want_total="totalCount" in fields,
            want_cursor="changeCursor" in fields,
        )
        loader = info.context.loader(loading.first_entries)
        found = await loader.load((self.view.row.id, page))
        return SyncLogConnection(PageView("syncLog", found.entries, found.total, found.cursor))

    @strawberry.field(
        description="From each part of the member that was stated to the event that decided it. "
        "For administrators of the home organization; empty for others.",
        directives=[list_size(8)],
    )
    async def provenance(self, info: Info) -> "list[PartProvenance]":
        row = self.view.row
        wanted = entry_fields(info, "entry") if "entry" in selected(info) else None
        loader = info.context.loader(loading.provenance)
        found = await loader.load((row.id, row.organization_id, wanted))
        return [PartProvenance(part) for part in found]


@view_type("The origin of one part of a member: when its value was stated, and by which event.")
class PartProvenance(View[PartView]):
    part: str = from_view(
        "part",
        "The part: a field of the profile, `organization`, `roles` or `state`, as named in "
        "`Member`.",
    )
    stated_at: datetime = from_view(
        "stated_at", "The time as of which the value was stated, by the clock of the source."
    )
    entry: "SyncLogEntryType | None" = from_view(
        "entry", "The log entry of the event that stated it; null if it is not visible."
    )


@view_type("A member in a page.")
class MemberEdge(View[EdgeView[MemberView]]):
    cursor: str = from_view("cursor", "The cursor of this edge, for `after` and `before`.")
    node: MemberType = from_view("node", "The member.")


@view_type("A page of members.")
class MemberConnection(View[PageView[MemberView]]):
    edges: list[MemberEdge] = from_view("edges", "The members of this page.")
    page_info: PageInfo = from_view(itself, "The position of this page in the list.")
    total_count: int | None = from_view(
        "total",
        "The number of members in all pages.",
        directives=[cost(COUNTING)],
    )
    change_cursor: ChangeCursor = from_view(
        "change_cursor",
        "The position in the change feed at which this page was read. A subscription to "
        "`memberChanges` after it misses nothing.",
    )


@view_type("A field of a member, before and after an event.", name="FieldChange")
class FieldChangeType(View[FieldChange]):
    field: str = from_view("field", "The name of the field in `Member`.")
    before: str | None = from_view("before", "The value before.")
    after: str | None = from_view("after", "The value after.")


@view_type("An attempt to apply an event.", name="SyncAttempt")
class SyncAttemptType(View[Attempt]):
    attempted_at: datetime = from_view("attempted_at", "The time of the attempt.")
    trigger: AttemptTrigger = from_view("trigger", "What caused the attempt.")
    status: SyncStatus = from_view("status", "The status of the event after the attempt.")
    outcome: SyncOutcome | None = from_view("outcome", "The outcome, if the attempt succeeded.")
    detail: str | None = from_view("detail", "Remarks, or the reason why it failed.")
    actor: str | None = from_view(
        "actor", "The person who replayed the event, or made the correction."
    )
    reason: str | None = from_view("reason", "The reason they gave.")


@view_type("The record of an event from the portal.", name="SyncLogEntry")
class SyncLogEntryType(View[EntryView], Node):
    id: strawberry.ID = from_view(lambda view: global_id("SyncLogEntry", view.row.id), ID)
    event_id: str = from_view("row.event_id", "The id that the sender gave the event.")
    source: str = from_view("row.source", "The source that sent the event.")
    event_type: str | None = from_view(
        "row.event_type", "The type, such as `role-updated`; null if it could not be read."
    )
    occurred_at: datetime | None = from_view(
        "row.occurred_at", "The time at which it happened in the portal."
    )
    received_at: datetime = from_view("row.received_at", "The time of the first delivery.")
    processed_at: datetime | None = from_view(
        "row.processed_at", "The time at which it was applied or skipped."
    )
    status: SyncStatus = from_view("row.status", "The status.")
    outcome: SyncOutcome | None = from_view("row.outcome", "The outcome, once processed.")
    detail: str | None = from_view(
        "row.detail", "Remarks and warnings, or the reason why it failed."
    )
    attempts: int = from_view("row.attempts", "The number of attempts.")
    deliveries: int = from_view("row.deliveries", "The number of deliveries.")
    next_attempt_at: datetime | None = from_view(
        "row.next_attempt_at", "The time of the next attempt."
    )
    lag_ms: int | None = from_view(
        "lag_ms", "The milliseconds from the first delivery to processing."
    )
    member: MemberType | None = from_view("member", "The member it is about, if visible.")
    organization: OrganizationType | None = from_view(
        "organization", "The member's home organization after the event."
    )
    attempt_history: list[SyncAttemptType] = from_view(
        "attempts", "The attempts to apply it, the first one first.", directives=[list_size(3)]
    )

    @strawberry.field(
        description="The fields it changed. Reading their values is recorded in the audit trail.",
        directives=[list_size(5)],
    )
    async def changes(self, info: Info) -> list[FieldChangeType]:
        row = self.view.row
        # Of a subscription it is recorded at its start: a message is made once for many.
        is_query = info.operation.operation is not OperationType.SUBSCRIPTION
        if row.field_changes and is_query and loading.asks_for_values(info):
            await info.context.loader(loading.values_recorded).load(row.id)
        return [FieldChangeType(change) for change in row.field_changes]

    @strawberry.field(
        description="The body of the delivery. For administrators of the national body; null for "
        "others. Reading it is recorded in the audit trail, so subscriptions cannot ask for it."
    )
    async def payload(self, info: Info) -> str | None:
        if info.operation.operation is OperationType.SUBSCRIPTION:
            # A message is rendered once for many subscribers, so their reading is not recorded.
            raise ForbiddenError("`payload` is for queries, not for subscriptions.")
        payload = await info.context.loader(loading.bodies).load(self.view.row.id)
        return payload.decode("utf-8", "replace") if payload else None


@view_type("A sync-log entry in a page.")
class SyncLogEdge(View[EdgeView[EntryView]]):
    cursor: str = from_view("cursor", "The cursor of this edge, for `after` and `before`.")
    node: SyncLogEntryType = from_view("node", "The entry.")


@view_type("A page of the sync log, newest first.")
class SyncLogConnection(View[PageView[EntryView]]):
    edges: list[SyncLogEdge] = from_view("edges", "The entries of this page.")
    page_info: PageInfo = from_view(itself, "The position of this page in the list.")
    total_count: int | None = from_view(
        "total",
        "The number of entries in all pages.",
        directives=[cost(COUNTING)],
    )
    change_cursor: ChangeCursor = from_view(
        "change_cursor",
        "The position in the change feed at which this page was read. A subscription to "
        "`syncLogChanges` after it misses nothing.",
    )


async def organization_connection(info: Info, arguments: PageArguments) -> OrganizationConnection:
    request = arguments.request("organizations", (str, int))
    async with info.context.database.read() as session:
        page = await organization_page(session, request)
        counted = "totalCount" in selected(info)
        total = await organization_count(session) if counted else None
    return OrganizationConnection(PageView("organizations", page, total))


async def member_connection(
    info: Info,
    organization_id: str | None,
    filter: MemberFilterInput | None,
    order_by: MemberOrderInput | None,
    arguments: PageArguments,
) -> MemberConnection:
    viewer = await require_viewer(info.context)
    order = order_by or MemberOrderInput(field=MemberOrderField.NAME)
    name = f"members:{order.field.value}:{order.direction.value}"
    request = arguments.request(name, _KEY_TYPES[order.field])
    members = await member_filter(info.context, organization_id, filter)
    asked = selected(info)
    page = await page_of_members(
        info.context.database,
        viewer.sight,
        members,
        order.to_order(),
        request,
        member_fields(info, "edges", "node"),
        want_total="totalCount" in asked,
        want_cursor="changeCursor" in asked,
    )
    return MemberConnection(PageView(name, page.members, page.total, page.cursor))


async def sync_log_connection(
    info: Info,
    organization_id: str | None,
    filter: SyncLogFilterInput | None,
    arguments: PageArguments,
) -> SyncLogConnection:
    entries = await entry_filter(info.context, organization_id, filter)
    return await connection_of_entries(info, entries, arguments)


async def connection_of_entries(
    info: Info, entries: EntrySelection, arguments: PageArguments
) -> SyncLogConnection:
    """Reads a page of those of the entries that the viewer may see."""
    viewer = await require_viewer(info.context)
    request = arguments.request("syncLog", (int, int))
    asked = selected(info)
    page = await page_of_entries(
        info.context.database,
        viewer.sight,
        entries,
        request,
        entry_fields(info, "edges", "node"),
        want_total="totalCount" in asked,
        want_cursor="changeCursor" in asked,
    )
    return SyncLogConnection(PageView("syncLog", page.entries, page.total, page.cursor))
