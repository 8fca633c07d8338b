"""The types with an id: members, organizations, roles and sync-log entries. They refer to each
other in circles, so they stand in one place."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated

import strawberry
from graphql import OperationType

from db.queries.attempts import Attempt
from db.queries.entries import EntryFilter
from db.queries.member_pages import MemberFilter as MemberCondition
from db.queries.member_pages import MemberOrderField
from db.queries.organizations import OrganizationRow
from db.queries.roles import RoleRow
from db.tables.facts import FieldChange as FieldChangeRow
from db.vocabulary import (
    AccessLevel,
    ActivationState,
    AttemptTrigger,
    SyncOutcome,
    SyncStatus,
)
from resolvers.members import AssignmentView, MemberView, MemberWants, page_of_members
from resolvers.sync_log import EntryView, EntryWants, FirstPage, page_of_entries
from schema.context import Info
from schema.engine.lookahead import selected
from schema.engine.views import View, shown, view_type
from schema.errors import ForbiddenError
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
from schema.types.costs import COUNTING, about, page_of, weighs
from schema.types.inputs import MemberFilter, MemberOrder, SyncLogFilter, organization_subtree
from schema.types.opaque import global_id
from schema.types.scalars import ChangeCursor

MemberFilterArgument = Annotated[
    MemberFilter | None, strawberry.argument(description="Only members who meet this.")
]
MemberOrderArgument = Annotated[
    MemberOrder | None, strawberry.argument(description="By name, unless another order is given.")
]

_KEY_TYPES: dict[MemberOrderField, tuple[type, ...]] = {
    MemberOrderField.NAME: (str, int),
    MemberOrderField.MEMBER_NUMBER: (str, int),
    MemberOrderField.UPDATED_AT: (datetime, int),
}


SAME_FOR_EVER = "Opaque, and the same for ever."


@strawberry.interface(description="Something with an id of its own (Relay).")
class Node:
    id: strawberry.ID = strawberry.field(description=SAME_FOR_EVER)


@view_type("An entry of the role catalogue: a portal role and what it gives.")
class Role(View[RoleRow], Node):
    repeated = True

    id: strawberry.ID = shown(lambda row: global_id("Role", row.id), SAME_FOR_EVER)
    code: str = shown("code", "The portal's code, such as `peer-mentor`.")
    name: str = shown("name", "A name for people.")
    access_level: AccessLevel = shown("access_level", "What holders may do in the app.")
    decided: bool = shown(
        "decided",
        "Whether somebody has said what it gives. False for a code that came with an event: until "
        "then it gives MEMBER.",
    )

    @strawberry.field(
        description="How many members hold it, wherever.", directives=[weighs(COUNTING)]
    )
    async def holder_count(self, info: Info) -> int:
        return await info.context.holder_counts.load(self.view.id)


@view_type("A chapter of the association. Chapters form a tree.")
class Organization(View[OrganizationRow], Node):
    repeated = True

    id: strawberry.ID = shown(lambda row: global_id("Organization", row.id), SAME_FOR_EVER)
    portal_id: str = shown("portal_id", "The portal's id.")
    name: str | None = shown("name", "Its name; null while the portal has only mentioned it.")

    @strawberry.field(description="The chapter above it; null for the national body.")
    async def parent(self, info: Info) -> "Organization | None":
        if self.view.parent_id is None:
            return None
        row = await info.context.organizations.load(self.view.parent_id)
        return None if row is None else Organization(row)

    @strawberry.field(
        description="The chapters directly below it, by name.", directives=[about(10)]
    )
    async def children(self, info: Info) -> "list[Organization]":
        return [Organization(row) for row in await info.context.children.load(self.view.id)]

    @strawberry.field(
        description="Members who belong to it or to a chapter below it, or hold a role there; of "
        "those the viewer may see.",
        directives=[page_of("first", "last")],
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


@view_type("A role that a member holds in an organization.")
class RoleAssignment(View[AssignmentView]):
    role: Role = shown("row.role", "The role.")
    organization: Organization | None = shown(
        "organization", "Where. Null: in the home organization, which is not known yet."
    )
    since: datetime = shown("row.since", "From when on the portal has stated it without a break.")


@view_type("A person known to the portal.")
class Member(View[MemberView], Node):
    id: strawberry.ID = shown(lambda view: global_id("Member", view.row.id), SAME_FOR_EVER)
    portal_id: str = shown("row.portal_id", "The portal's id (contact GUID in Dataverse).")
    member_number: str | None = shown("row.member_number", "The membership number.")
    given_name: str | None = shown("row.given_name", "Given name.")
    family_name: str | None = shown("row.family_name", "Family name.")
    display_name: str = shown(
        "display_name",
        "Given and family name; the member number or portal id while no name is known.",
    )
    email: str | None = shown("row.email", "E-mail address.")
    phone: str | None = shown("row.phone", "Telephone number, as the portal has it.")
    state: ActivationState = shown("row.state", "Whether this is a member now.")
    state_changed_at: datetime | None = shown(
        "row.state_changed_at", "From when on that is so; null while the portal has not said."
    )
    access_level: AccessLevel = shown(
        "access_level", "The highest level of the roles held; NONE while inactive."
    )
    organization: Organization | None = shown("home", "The home organization.")
    roles: list[RoleAssignment] = shown(
        "assignments", "Every role held, wherever.", directives=[about(3)]
    )
    updated_at: datetime = shown("row.updated_at", "When an event last changed something.")

    @strawberry.field(
        description="What the portal told of this member, newest first; for administrators. "
        "Empty for others.",
        directives=[page_of("first", "last")],
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
            filter = SyncLogFilter(member_id=self.id)
            return await sync_log_connection(info, None, filter, arguments)
        # The first pages of all members of a list are read at once.
        fields = selected(info)
        page = FirstPage(
            arguments.request("syncLog", (int, int)).size,
            entry_wants(info, "edges", "node"),
            want_total="totalCount" in fields,
            want_cursor="changeCursor" in fields,
        )
        found = await info.context.first_entries.load((self.view.row.id, page))
        return SyncLogConnection(PageView("syncLog", found.entries, found.total, found.cursor))


@view_type("A member within a page.")
class MemberEdge(View[EdgeView[MemberView]]):
    cursor: str = shown("cursor", "Pages can begin after it or before it.")
    node: Member = shown("node", "The member.")


@view_type("A page of members.")
class MemberConnection(View[PageView[MemberView]]):
    edges: list[MemberEdge] = shown("edges", "The members of this page.")
    page_info: PageInfo = shown(itself, "Where the page stands.")
    total_count: int | None = shown(
        "total",
        "How many members there are in all pages. Counted only when asked for.",
        directives=[weighs(COUNTING)],
    )
    change_cursor: ChangeCursor = shown(
        "change_cursor",
        "The place in the change feed at which this page was read: subscribe to `memberChanges` "
        "after it to miss nothing.",
    )


@view_type("One field of a member, before and after an event.")
class FieldChange(View[FieldChangeRow]):
    field: str = shown("field", "The field's name, as `Member` has it.")
    before: str | None = shown("before", "What it was.")
    after: str | None = shown("after", "What it became.")


@view_type("One attempt to apply an event.")
class SyncAttempt(View[Attempt]):
    attempted_at: datetime = shown("attempted_at", "When.")
    trigger: AttemptTrigger = shown("trigger", "What set it off.")
    status: SyncStatus = shown("status", "Where the event stood after it.")
    outcome: SyncOutcome | None = shown("outcome", "What it did, if it succeeded.")
    detail: str | None = shown("detail", "Remarks, or why it failed.")
    actor: str | None = shown("actor", "Who asked for a replay.")
    reason: str | None = shown("reason", "Why they asked for it.")


@view_type("The record of one event from the portal.")
class SyncLogEntry(View[EntryView], Node):
    id: strawberry.ID = shown(lambda view: global_id("SyncLogEntry", view.row.id), SAME_FOR_EVER)
    event_id: str = shown("row.event_id", "The sender's id of the event.")
    source: str = shown("row.source", "The configured sender.")
    event_type: str | None = shown(
        "row.event_type", "Such as `role-updated`; null when it could not be read."
    )
    occurred_at: datetime | None = shown("row.occurred_at", "When it happened in the portal.")
    received_at: datetime = shown("row.received_at", "When it was first delivered.")
    processed_at: datetime | None = shown("row.processed_at", "When it was applied or skipped.")
    status: SyncStatus = shown("row.status", "Where it stands.")
    outcome: SyncOutcome | None = shown("row.outcome", "What it did, once processed.")
    detail: str | None = shown("row.detail", "Remarks, warnings, or what was wrong.")
    attempts: int = shown("row.attempts", "How often it was tried.")
    deliveries: int = shown("row.deliveries", "How often it was delivered.")
    next_attempt_at: datetime | None = shown("row.next_attempt_at", "When it is tried again.")
    lag_ms: int | None = shown(
        "lag_ms", "Milliseconds from the first delivery until it was processed."
    )
    member: Member | None = shown("member", "Whom it is about, if visible.")
    organization: Organization | None = shown(
        "organization", "The member's home organization after the event."
    )
    changes: list[FieldChange] = shown(
        "row.field_changes", "What it changed, field by field.", directives=[about(5)]
    )
    attempt_history: list[SyncAttempt] = shown(
        "attempts", "Every attempt to apply it, the first one first.", directives=[about(3)]
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
        payload = await info.context.payloads.load(self.view.row.id)
        return None if payload is None else payload.decode("utf-8", "replace")


@view_type("A sync-log entry within a page.")
class SyncLogEdge(View[EdgeView[EntryView]]):
    cursor: str = shown("cursor", "Pages can begin after it or before it.")
    node: SyncLogEntry = shown("node", "The entry.")


@view_type("A page of the sync log, newest first.")
class SyncLogConnection(View[PageView[EntryView]]):
    edges: list[SyncLogEdge] = shown("edges", "The entries of this page.")
    page_info: PageInfo = shown(itself, "Where the page stands.")
    total_count: int | None = shown(
        "total",
        "How many entries there are in all pages. Counted only when asked for.",
        directives=[weighs(COUNTING)],
    )
    change_cursor: ChangeCursor = shown(
        "change_cursor",
        "The place in the change feed at which this page was read: subscribe to `syncLogChanges` "
        "after it to miss nothing.",
    )


def member_wants(info: Info, *path: str) -> MemberWants:
    """What to load for the members asked for at the path."""
    fields = selected(info, *path)
    roles = not fields.isdisjoint({"roles", "accessLevel"})
    places = "organization" in fields or "organization" in selected(info, *path, "roles")
    return MemberWants(roles=roles, organizations=places)


def entry_wants(info: Info, *path: str) -> EntryWants:
    fields = selected(info, *path)
    member = member_wants(info, *path, "member") if "member" in fields else None
    return EntryWants(
        member, organization="organization" in fields, attempts="attemptHistory" in fields
    )


async def member_connection(
    info: Info,
    organization_id: str | None,
    filter: MemberFilter | None,
    order_by: MemberOrder | None,
    arguments: PageArguments,
) -> MemberConnection:
    viewer = await info.context.require_viewer()
    order = order_by or MemberOrder(field=MemberOrderField.NAME)
    name = f"members:{order.field.value}:{order.direction.value}"
    request = arguments.request(name, _KEY_TYPES[order.field])
    condition = await member_condition(info, organization_id, filter)
    asked = selected(info)
    page = await page_of_members(
        info.context.database,
        viewer.sight,
        condition,
        order.ordering(),
        request,
        member_wants(info, "edges", "node"),
        want_total="totalCount" in asked,
        want_cursor="changeCursor" in asked,
    )
    return MemberConnection(PageView(name, page.members, page.total, page.cursor))


async def member_condition(
    info: Info, organization_id: str | None, filter: MemberFilter | None
) -> MemberCondition:
    """Raises BadUserInputError."""
    organizations = await organization_subtree(
        info.context.database, organization_id, "organizationId"
    )
    condition = (filter or MemberFilter()).condition()
    return replace(condition, organization_ids=organizations)


async def sync_log_connection(
    info: Info,
    organization_id: str | None,
    filter: SyncLogFilter | None,
    arguments: PageArguments,
) -> SyncLogConnection:
    viewer = await info.context.require_viewer()
    request = arguments.request("syncLog", (int, int))
    condition = await entry_condition(info, organization_id, filter)
    asked = selected(info)
    page = await page_of_entries(
        info.context.database,
        viewer.sight,
        condition,
        request,
        entry_wants(info, "edges", "node"),
        want_total="totalCount" in asked,
        want_cursor="changeCursor" in asked,
    )
    return SyncLogConnection(PageView("syncLog", page.entries, page.total, page.cursor))


async def entry_condition(
    info: Info, organization_id: str | None, filter: SyncLogFilter | None
) -> EntryFilter:
    """Raises BadUserInputError."""
    organizations = await organization_subtree(
        info.context.database, organization_id, "organizationId"
    )
    condition = (filter or SyncLogFilter()).condition()
    return replace(condition, organization_ids=organizations)
