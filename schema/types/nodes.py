"""The types with an id: members, organizations, roles and sync-log entries. They refer to each
other in circles, so they stand in one place."""

from datetime import datetime

import strawberry
from graphql import OperationType

from db.queries.attempts import Attempt
from db.queries.member_pages import MemberOrderField
from db.queries.organizations import OrganizationRow
from db.queries.roles import RoleRow
from db.tables.facts import FieldChange
from db.vocabulary import (
    AccessLevel,
    ActivationState,
    AttemptTrigger,
    SyncOutcome,
    SyncStatus,
)
from resolvers.members import AssignmentView, MemberView, page_of_members
from resolvers.sync_log import EntryView, FirstPage, page_of_entries
from schema.access import require_viewer
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
from schema.types.costs import COUNTING, cost, list_size, paged_by
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


SAME_FOR_EVER = "Opaque, and the same for ever."


@strawberry.interface(description="Something with an id of its own (Relay).")
class Node:
    id: strawberry.ID = strawberry.field(description=SAME_FOR_EVER)


@view_type("An entry of the role catalogue: a portal role and what it gives.", name="Role")
class RoleType(View[RoleRow], Node):
    repeated = True

    id: strawberry.ID = from_view(lambda row: global_id("Role", row.id), SAME_FOR_EVER)
    code: str = from_view("code", "The portal's code, such as `peer-mentor`.")
    name: str = from_view("name", "A name for people.")
    access_level: AccessLevel = from_view("access_level", "What holders may do in the app.")
    decided: bool = from_view(
        "decided",
        "Whether somebody has said what it gives. False for a code that came with an event: until "
        "then it gives MEMBER.",
    )

    @strawberry.field(
        description="How many members hold it, wherever.", directives=[cost(COUNTING)]
    )
    async def holder_count(self, info: Info) -> int:
        return await info.context.loader(loading.holder_counts).load(self.view.id)


@view_type("A chapter of the association. Chapters form a tree.", name="Organization")
class OrganizationType(View[OrganizationRow], Node):
    repeated = True

    id: strawberry.ID = from_view(lambda row: global_id("Organization", row.id), SAME_FOR_EVER)
    portal_id: str = from_view("portal_id", "The portal's id.")
    name: str | None = from_view("name", "Its name; null while the portal has only mentioned it.")

    @strawberry.field(description="The chapter above it; null for the national body.")
    async def parent(self, info: Info) -> "OrganizationType | None":
        if self.view.parent_id is None:
            return None
        row = await info.context.loader(loading.organizations).load(self.view.parent_id)
        return None if row is None else OrganizationType(row)

    @strawberry.field(
        description="The chapters directly below it, by name.", directives=[list_size(10)]
    )
    async def children(self, info: Info) -> "list[OrganizationType]":
        rows = await info.context.loader(loading.children).load(self.view.id)
        return [OrganizationType(row) for row in rows]

    @strawberry.field(
        description="Members who belong to it or to a chapter below it, or hold a role there; of "
        "those the viewer may see.",
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


@view_type("A role that a member holds in an organization.", name="RoleAssignment")
class RoleAssignmentType(View[AssignmentView]):
    role: RoleType = from_view("row.role", "The role.")
    organization: OrganizationType | None = from_view(
        "organization", "Where. Null: in the home organization, which is not known yet."
    )
    since: datetime = from_view(
        "row.since", "From when on the portal has stated it without a break."
    )


@view_type("A person known to the portal.", name="Member")
class MemberType(View[MemberView], Node):
    id: strawberry.ID = from_view(lambda view: global_id("Member", view.row.id), SAME_FOR_EVER)
    portal_id: str = from_view("row.portal_id", "The portal's id (contact GUID in Dataverse).")
    member_number: str | None = from_view("row.member_number", "The membership number.")
    given_name: str | None = from_view("row.given_name", "Given name.")
    family_name: str | None = from_view("row.family_name", "Family name.")
    display_name: str = from_view(
        "display_name",
        "Given and family name; the member number or portal id while no name is known.",
    )
    email: str | None = from_view("row.email", "E-mail address.")
    phone: str | None = from_view("row.phone", "Telephone number, as the portal has it.")
    state: ActivationState = from_view("row.state", "Whether this is a member now.")
    state_changed_at: datetime | None = from_view(
        "row.state_changed_at", "From when on that is so; null while the portal has not said."
    )
    access_level: AccessLevel = from_view(
        "access_level", "The highest level of the roles held; NONE while inactive."
    )
    organization: OrganizationType | None = from_view("home", "The home organization.")
    roles: list[RoleAssignmentType] = from_view(
        "assignments", "Every role held, wherever.", directives=[list_size(3)]
    )
    updated_at: datetime = from_view("row.updated_at", "When an event last changed something.")

    @strawberry.field(
        description="What the portal told of this member, newest first; for administrators. "
        "Empty for others.",
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


@view_type("A member within a page.")
class MemberEdge(View[EdgeView[MemberView]]):
    cursor: str = from_view("cursor", "Pages can begin after it or before it.")
    node: MemberType = from_view("node", "The member.")


@view_type("A page of members.")
class MemberConnection(View[PageView[MemberView]]):
    edges: list[MemberEdge] = from_view("edges", "The members of this page.")
    page_info: PageInfo = from_view(itself, "Where the page stands.")
    total_count: int | None = from_view(
        "total",
        "How many members there are in all pages. Counted only when asked for.",
        directives=[cost(COUNTING)],
    )
    change_cursor: ChangeCursor = from_view(
        "change_cursor",
        "The place in the change feed at which this page was read: subscribe to `memberChanges` "
        "after it to miss nothing.",
    )


@view_type("One field of a member, before and after an event.", name="FieldChange")
class FieldChangeType(View[FieldChange]):
    field: str = from_view("field", "The field's name, as `Member` has it.")
    before: str | None = from_view("before", "What it was.")
    after: str | None = from_view("after", "What it became.")


@view_type("One attempt to apply an event.", name="SyncAttempt")
class SyncAttemptType(View[Attempt]):
    attempted_at: datetime = from_view("attempted_at", "When.")
    trigger: AttemptTrigger = from_view("trigger", "What set it off.")
    status: SyncStatus = from_view("status", "Where the event stood after it.")
    outcome: SyncOutcome | None = from_view("outcome", "What it did, if it succeeded.")
    detail: str | None = from_view("detail", "Remarks, or why it failed.")
    actor: str | None = from_view("actor", "Who asked for a replay.")
    reason: str | None = from_view("reason", "Why they asked for it.")


@view_type("The record of one event from the portal.", name="SyncLogEntry")
class SyncLogEntryType(View[EntryView], Node):
    id: strawberry.ID = from_view(
        lambda view: global_id("SyncLogEntry", view.row.id), SAME_FOR_EVER
    )
    event_id: str = from_view("row.event_id", "The sender's id of the event.")
    source: str = from_view("row.source", "The configured sender.")
    event_type: str | None = from_view(
        "row.event_type", "Such as `role-updated`; null when it could not be read."
    )
    occurred_at: datetime | None = from_view("row.occurred_at", "When it happened in the portal.")
    received_at: datetime = from_view("row.received_at", "When it was first delivered.")
    processed_at: datetime | None = from_view("row.processed_at", "When it was applied or skipped.")
    status: SyncStatus = from_view("row.status", "Where it stands.")
    outcome: SyncOutcome | None = from_view("row.outcome", "What it did, once processed.")
    detail: str | None = from_view("row.detail", "Remarks, warnings, or what was wrong.")
    attempts: int = from_view("row.attempts", "How often it was tried.")
    deliveries: int = from_view("row.deliveries", "How often it was delivered.")
    next_attempt_at: datetime | None = from_view("row.next_attempt_at", "When it is tried again.")
    lag_ms: int | None = from_view(
        "lag_ms", "Milliseconds from the first delivery until it was processed."
    )
    member: MemberType | None = from_view("member", "Whom it is about, if visible.")
    organization: OrganizationType | None = from_view(
        "organization", "The member's home organization after the event."
    )
    changes: list[FieldChangeType] = from_view(
        "row.field_changes", "What it changed, field by field.", directives=[list_size(5)]
    )
    attempt_history: list[SyncAttemptType] = from_view(
        "attempts", "Every attempt to apply it, the first one first.", directives=[list_size(3)]
    )

    @strawberry.field(
        description="The body as it came, which may tell more than is kept otherwise. For "
        "administrators of the national body; null for others. Who reads it is recorded, so it "
        "is not for subscriptions."
    )
    async def payload(self, info: Info) -> str | None:
        if info.operation.operation is OperationType.SUBSCRIPTION:
            # What is sent to many at once cannot be recorded as read by each of them.
            raise ForbiddenError("Ask for `payload` by a query.")
        payload = await info.context.loader(loading.bodies).load(self.view.row.id)
        return None if payload is None else payload.decode("utf-8", "replace")


@view_type("A sync-log entry within a page.")
class SyncLogEdge(View[EdgeView[EntryView]]):
    cursor: str = from_view("cursor", "Pages can begin after it or before it.")
    node: SyncLogEntryType = from_view("node", "The entry.")


@view_type("A page of the sync log, newest first.")
class SyncLogConnection(View[PageView[EntryView]]):
    edges: list[SyncLogEdge] = from_view("edges", "The entries of this page.")
    page_info: PageInfo = from_view(itself, "Where the page stands.")
    total_count: int | None = from_view(
        "total",
        "How many entries there are in all pages. Counted only when asked for.",
        directives=[cost(COUNTING)],
    )
    change_cursor: ChangeCursor = from_view(
        "change_cursor",
        "The place in the change feed at which this page was read: subscribe to `syncLogChanges` "
        "after it to miss nothing.",
    )


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
    viewer = await require_viewer(info.context)
    request = arguments.request("syncLog", (int, int))
    entries = await entry_filter(info.context, organization_id, filter)
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
