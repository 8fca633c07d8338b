"""The types with an id: members, organizations, roles and sync-log entries. They refer to each
other in circles, so they stand in one place."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated

import strawberry
from graphql import OperationType

from db.attempts import Attempt
from db.member_pages import MemberFilter as MemberCondition
from db.member_pages import MemberOrderField
from db.organizations import OrganizationRow
from db.roles import RoleRow
from db.sync_log import EntryFilter
from db.vocabulary import (
    AccessLevel,
    ActivationState,
    AttemptTrigger,
    EntryId,
    MemberId,
    OrganizationId,
    RoleId,
    SyncOutcome,
    SyncStatus,
)
from resolvers.members import MemberView, MemberWants, page_of_members
from resolvers.sync_log import EntryPage, EntryView, EntryWants, FirstPage, page_of_entries
from schema.context import Info
from schema.cost import COUNTING, about, page_of, weighs
from schema.errors import ForbiddenError
from schema.inputs import MemberFilter, MemberOrder, SyncLogFilter, organization_subtree
from schema.lookahead import selected
from schema.opaque import change_cursor, global_id
from schema.pagination import PageArguments, PageInfo, wanted_cursors
from schema.scalars import ChangeCursor

First = Annotated[
    int | None, strawberry.argument(description="How many at the most, forward: 1 to 100.")
]
After = Annotated[str | None, strawberry.argument(description="Only those after this cursor.")]
Last = Annotated[
    int | None, strawberry.argument(description="How many at the most, backward: 1 to 100.")
]
Before = Annotated[str | None, strawberry.argument(description="Only those before this cursor.")]
MemberFilterArgument = Annotated[
    MemberFilter | None, strawberry.argument(description="Only members who meet this.")
]
MemberOrderArgument = Annotated[
    MemberOrder | None, strawberry.argument(description="By name, unless another order is given.")
]

MILLISECOND = timedelta(milliseconds=1)

_KEY_TYPES: dict[MemberOrderField, tuple[type, ...]] = {
    MemberOrderField.NAME: (str, int),
    MemberOrderField.MEMBER_NUMBER: (str, int),
    MemberOrderField.UPDATED_AT: (datetime, int),
}


@strawberry.interface(description="Something with an id of its own (Relay).")
class Node:
    id: strawberry.ID = strawberry.field(description="Opaque, and the same for ever.")


@strawberry.type(description="An entry of the role catalogue: a portal role and what it gives.")
class Role(Node):
    code: str = strawberry.field(description="The portal's code, such as `peer-mentor`.")
    name: str = strawberry.field(description="A name for people.")
    access_level: AccessLevel = strawberry.field(description="What holders may do in the app.")
    decided: bool = strawberry.field(
        description="Whether somebody has said what it gives. False for a code that came with an "
        "event: until then it gives MEMBER."
    )
    row_id: strawberry.Private[RoleId]

    @classmethod
    def from_row(cls, row: RoleRow) -> "Role":
        return cls(
            id=strawberry.ID(global_id("Role", row.id)),
            row_id=row.id,
            code=row.code,
            name=row.name,
            access_level=row.access_level,
            decided=row.decided,
        )

    @strawberry.field(
        description="How many members hold it, wherever.", directives=[weighs(COUNTING)]
    )
    async def holder_count(self, info: Info) -> int:
        return await info.context.holder_counts.load(self.row_id)


@strawberry.type(description="A chapter of the association. Chapters form a tree.")
class Organization(Node):
    row: strawberry.Private[OrganizationRow]
    portal_id: str = strawberry.field(description="The portal's id.")
    name: str | None = strawberry.field(
        description="Its name; null while the portal has only mentioned it."
    )

    @classmethod
    def from_row(cls, row: OrganizationRow) -> "Organization":
        id = strawberry.ID(global_id("Organization", row.id))
        return cls(id=id, row=row, portal_id=row.portal_id, name=row.name)

    @strawberry.field(description="The chapter above it; null for the national body.")
    async def parent(self, info: Info) -> "Organization | None":
        if self.row.parent_id is None:
            return None
        row = await info.context.organizations.load(self.row.parent_id)
        return None if row is None else Organization.from_row(row)

    @strawberry.field(
        description="The chapters directly below it, by name.", directives=[about(10)]
    )
    async def children(self, info: Info) -> "list[Organization]":
        rows = await info.context.children.load(self.row.id)
        return [Organization.from_row(row) for row in rows]

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


@strawberry.type(description="A role that a member holds in an organization.")
class RoleAssignment:
    role: Role = strawberry.field(description="The role.")
    organization: Organization | None = strawberry.field(
        description="Where. Null: in the home organization, which is not known yet."
    )
    since: datetime = strawberry.field(
        description="From when on the portal has stated it without a break."
    )


@strawberry.type(description="A person known to the portal.")
class Member(Node):
    portal_id: str = strawberry.field(description="The portal's id (contact GUID in Dataverse).")
    member_number: str | None = strawberry.field(description="The membership number.")
    given_name: str | None = strawberry.field(description="Given name.")
    family_name: str | None = strawberry.field(description="Family name.")
    display_name: str = strawberry.field(
        description="Given and family name; the member number or portal id while no name is known."
    )
    email: str | None = strawberry.field(description="E-mail address.")
    phone: str | None = strawberry.field(description="Telephone number, as the portal has it.")
    state: ActivationState = strawberry.field(description="Whether this is a member now.")
    state_changed_at: datetime | None = strawberry.field(
        description="From when on that is so; null while the portal has not said."
    )
    access_level: AccessLevel = strawberry.field(
        description="The highest level of the roles held; NONE while inactive."
    )
    organization: Organization | None = strawberry.field(description="The home organization.")
    roles: list[RoleAssignment] = strawberry.field(
        description="Every role held, wherever.", directives=[about(3)]
    )
    updated_at: datetime = strawberry.field(description="When an event last changed something.")
    row_id: strawberry.Private[MemberId]

    @classmethod
    def from_view(cls, view: MemberView) -> "Member":
        return cls.from_views([view])[0]

    @classmethod
    def from_views(cls, views: Sequence[MemberView]) -> "list[Member]":
        """Of one page: what several members share is made once."""
        made = _Shared()
        return [cls._from_view(view, made) for view in views]

    @classmethod
    def _from_view(cls, view: MemberView, made: "_Shared") -> "Member":
        row = view.row
        names = [name for name in (row.given_name, row.family_name) if name]
        return cls(
            id=strawberry.ID(global_id("Member", row.id)),
            row_id=row.id,
            portal_id=row.portal_id,
            member_number=row.member_number,
            given_name=row.given_name,
            family_name=row.family_name,
            display_name=" ".join(names) or row.member_number or row.portal_id,
            email=row.email,
            phone=row.phone,
            state=row.state,
            state_changed_at=row.state_changed_at,
            access_level=view.access_level,
            organization=made.organization(view, row.organization_id),
            roles=[
                RoleAssignment(
                    role=made.role(held.role),
                    organization=made.organization(view, held.organization_id),
                    since=held.since,
                )
                for held in view.roles
            ],
            updated_at=row.updated_at,
        )

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
        found = await info.context.first_entries.load((self.row_id, page))
        return sync_log_page(info, found)


class _Shared:
    """Organizations and roles as GraphQL shows them, each made once."""

    def __init__(self) -> None:
        self._organizations: dict[OrganizationId, Organization] = {}
        self._roles: dict[RoleId, Role] = {}

    def organization(self, view: MemberView, id: OrganizationId | None) -> Organization | None:
        if id is None or id not in view.organizations:
            return None
        if id not in self._organizations:
            self._organizations[id] = Organization.from_row(view.organizations[id])
        return self._organizations[id]

    def role(self, row: RoleRow) -> Role:
        if row.id not in self._roles:
            self._roles[row.id] = Role.from_row(row)
        return self._roles[row.id]


@strawberry.type(description="A member within a page.")
class MemberEdge:
    cursor: str = strawberry.field(description="Pages can begin after it or before it.")
    node: Member = strawberry.field(description="The member.")


@strawberry.type(description="A page of members.")
class MemberConnection:
    edges: list[MemberEdge] = strawberry.field(description="The members of this page.")
    page_info: PageInfo = strawberry.field(description="Where the page stands.")
    total_count: int | None = strawberry.field(
        description="How many members there are in all pages. Counted only when asked for.",
        directives=[weighs(COUNTING)],
    )
    change_cursor: ChangeCursor = strawberry.field(
        description="The place in the change feed at which this page was read: subscribe to "
        "`memberChanges` after it to miss nothing."
    )


@strawberry.type(description="One field of a member, before and after an event.")
class FieldChange:
    field: str = strawberry.field(description="The field's name, as `Member` has it.")
    before: str | None = strawberry.field(description="What it was.")
    after: str | None = strawberry.field(description="What it became.")


@strawberry.type(description="One attempt to apply an event.")
class SyncAttempt:
    attempted_at: datetime = strawberry.field(description="When.")
    trigger: AttemptTrigger = strawberry.field(description="What set it off.")
    status: SyncStatus = strawberry.field(description="Where the event stood after it.")
    outcome: SyncOutcome | None = strawberry.field(description="What it did, if it succeeded.")
    detail: str | None = strawberry.field(description="Remarks, or why it failed.")
    actor: str | None = strawberry.field(description="Who asked for a replay.")
    reason: str | None = strawberry.field(description="Why they asked for it.")

    @classmethod
    def from_attempt(cls, attempt: Attempt) -> "SyncAttempt":
        return cls(
            attempted_at=attempt.attempted_at,
            trigger=attempt.trigger,
            status=attempt.status,
            outcome=attempt.outcome,
            detail=attempt.detail,
            actor=attempt.actor,
            reason=attempt.reason,
        )


@strawberry.type(description="The record of one event from the portal.")
class SyncLogEntry(Node):
    event_id: str = strawberry.field(description="The sender's id of the event.")
    source: str = strawberry.field(description="The configured sender.")
    event_type: str | None = strawberry.field(
        description="Such as `role-updated`; null when it could not be read."
    )
    occurred_at: datetime | None = strawberry.field(description="When it happened in the portal.")
    received_at: datetime = strawberry.field(description="When it was first delivered.")
    processed_at: datetime | None = strawberry.field(description="When it was applied or skipped.")
    status: SyncStatus = strawberry.field(description="Where it stands.")
    outcome: SyncOutcome | None = strawberry.field(description="What it did, once processed.")
    detail: str | None = strawberry.field(description="Remarks, warnings, or what was wrong.")
    attempts: int = strawberry.field(description="How often it was tried.")
    deliveries: int = strawberry.field(description="How often it was delivered.")
    next_attempt_at: datetime | None = strawberry.field(description="When it is tried again.")
    lag_ms: int | None = strawberry.field(
        description="Milliseconds from the first delivery until it was processed."
    )
    member: Member | None = strawberry.field(description="Whom it is about, if visible.")
    organization: Organization | None = strawberry.field(
        description="The member's home organization after the event."
    )
    changes: list[FieldChange] = strawberry.field(
        description="What it changed, field by field.", directives=[about(5)]
    )
    attempt_history: list[SyncAttempt] = strawberry.field(
        description="Every attempt to apply it, the first one first.", directives=[about(3)]
    )
    row_id: strawberry.Private[EntryId]

    @strawberry.field(
        description="The body as it came, which may tell more than is kept otherwise. For "
        "administrators of the national body; null for others. Who reads it is recorded, so it "
        "is not for subscriptions."
    )
    async def payload(self, info: Info) -> str | None:
        if info.operation.operation is OperationType.SUBSCRIPTION:
            # What is sent to many at once cannot be recorded as read by each of them.
            raise ForbiddenError("Ask for `payload` by a query.")
        payload = await info.context.payloads.load(self.row_id)
        return None if payload is None else payload.decode("utf-8", "replace")

    @classmethod
    def from_view(cls, view: EntryView) -> "SyncLogEntry":
        row = view.row
        lag = row.processed_at - row.received_at if row.processed_at else None
        organization = view.organization
        return cls(
            id=strawberry.ID(global_id("SyncLogEntry", row.id)),
            row_id=row.id,
            event_id=row.event_id,
            source=row.source,
            event_type=row.event_type,
            occurred_at=row.occurred_at,
            received_at=row.received_at,
            processed_at=row.processed_at,
            status=row.status,
            outcome=row.outcome,
            detail=row.detail,
            attempts=row.attempts,
            deliveries=row.deliveries,
            next_attempt_at=row.next_attempt_at,
            lag_ms=None if lag is None else round(lag / MILLISECOND),
            member=None if view.member is None else Member.from_view(view.member),
            organization=None if organization is None else Organization.from_row(organization),
            changes=[
                FieldChange(field=change.field, before=change.before, after=change.after)
                for change in row.field_changes
            ],
            attempt_history=[SyncAttempt.from_attempt(attempt) for attempt in view.attempts],
        )


@strawberry.type(description="A sync-log entry within a page.")
class SyncLogEdge:
    cursor: str = strawberry.field(description="Pages can begin after it or before it.")
    node: SyncLogEntry = strawberry.field(description="The entry.")


@strawberry.type(description="A page of the sync log, newest first.")
class SyncLogConnection:
    edges: list[SyncLogEdge] = strawberry.field(description="The entries of this page.")
    page_info: PageInfo = strawberry.field(description="Where the page stands.")
    total_count: int | None = strawberry.field(
        description="How many entries there are in all pages. Counted only when asked for.",
        directives=[weighs(COUNTING)],
    )
    change_cursor: ChangeCursor = strawberry.field(
        description="The place in the change feed at which this page was read: subscribe to "
        "`syncLogChanges` after it to miss nothing."
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
        viewer.scope,
        condition,
        order.ordering(),
        request,
        member_wants(info, "edges", "node"),
        want_total="totalCount" in asked,
        want_cursor="changeCursor" in asked,
    )
    nodes = Member.from_views(page.members.rows)
    cursors = wanted_cursors(info, page.members, name)
    edges = [MemberEdge(cursor=c, node=n) for c, n in zip(cursors.each, nodes, strict=True)]
    return MemberConnection(
        edges=edges,
        page_info=cursors.page_info,
        total_count=page.total,
        change_cursor=ChangeCursor(change_cursor(page.cursor) if page.cursor else ""),
    )


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
        viewer.scope,
        condition,
        request,
        entry_wants(info, "edges", "node"),
        want_total="totalCount" in asked,
        want_cursor="changeCursor" in asked,
    )
    return sync_log_page(info, page)


def sync_log_page(info: Info, page: EntryPage) -> SyncLogConnection:
    nodes = [SyncLogEntry.from_view(view) for view in page.entries.rows]
    cursors = wanted_cursors(info, page.entries, "syncLog")
    edges = [SyncLogEdge(cursor=c, node=n) for c, n in zip(cursors.each, nodes, strict=True)]
    return SyncLogConnection(
        edges=edges,
        page_info=cursors.page_info,
        total_count=page.total,
        change_cursor=ChangeCursor(change_cursor(page.cursor) if page.cursor else ""),
    )


async def entry_condition(
    info: Info, organization_id: str | None, filter: SyncLogFilter | None
) -> EntryFilter:
    """Raises BadUserInputError."""
    organizations = await organization_subtree(
        info.context.database, organization_id, "organizationId"
    )
    condition = (filter or SyncLogFilter()).condition()
    return replace(condition, organization_ids=organizations)
