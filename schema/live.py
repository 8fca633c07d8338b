"""Subscriptions: what changes, as it changes, for those who may see it."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, TypeVar

import strawberry

from db.changes import Cursor
from db.errors import ForeignCursorError
from db.viewers import Viewer as ViewerNow
from db.vocabulary import ChangeOperation
from resolvers.live import (
    EntryLens,
    Heartbeat,
    MemberLens,
    Notice,
    Resync,
    ViewerLens,
    Watch,
    stream,
)
from resolvers.members import MemberView
from resolvers.sync_log import EntryView
from schema.context import Info
from schema.errors import BadUserInputError, UnauthenticatedError
from schema.inputs import SyncLogFilter
from schema.nodes import (
    Member,
    MemberFilterArgument,
    SyncLogEntry,
    entry_condition,
    entry_wants,
    member_condition,
    member_wants,
)
from schema.opaque import change_cursor, global_id, parse_change_cursor
from schema.permissions import require_log_reader
from schema.scalars import ChangeCursor
from schema.viewer import Viewer, viewer_type
from schema.vocabulary import ResyncReason

T = TypeVar("T")

AfterChange = Annotated[
    ChangeCursor | None,
    strawberry.argument(description="Go on after this place; from now on when it is left out."),
]
OrganizationId = Annotated[
    strawberry.ID | None,
    strawberry.argument(description="Only within this organization and those below it."),
]


@strawberry.type(
    description="The stream is alive. Comes first, and whenever it was quiet for long."
)
class StreamHeartbeat:
    cursor: ChangeCursor = strawberry.field(description="Everything up to here was sent.")
    server_time: datetime = strawberry.field(description="The time at the server.")


@strawberry.type(
    description="The last message of a stream that cannot go on: query again, then subscribe anew."
)
class ResyncRequired:
    cursor: ChangeCursor = strawberry.field(description="How far the stream came.")
    reason: ResyncReason = strawberry.field(description="Why it cannot go on.")


@strawberry.type(description="A member changed.")
class MemberChange:
    cursor: ChangeCursor = strawberry.field(description="Go on after this to miss nothing.")
    operation: ChangeOperation = strawberry.field(description="What it is from the viewer's side.")
    member_id: strawberry.ID = strawberry.field(description="Which member.")
    member: Member | None = strawberry.field(
        description="The member as they are now; null once out of sight."
    )
    occurred_at: datetime = strawberry.field(description="When the change was stored.")


@strawberry.type(description="A sync-log entry was added or changed.")
class SyncLogChange:
    cursor: ChangeCursor = strawberry.field(description="Go on after this to miss nothing.")
    operation: ChangeOperation = strawberry.field(description="What it is from the viewer's side.")
    entry_id: strawberry.ID = strawberry.field(description="Which entry.")
    entry: SyncLogEntry | None = strawberry.field(
        description="The entry as it is now; null once out of sight."
    )
    occurred_at: datetime = strawberry.field(description="When the change was stored.")


@strawberry.type(description="What the viewer is or may do has changed.")
class ViewerChange:
    cursor: ChangeCursor = strawberry.field(description="The place of the change in the feed.")
    viewer: Viewer = strawberry.field(description="The viewer as they are now.")
    occurred_at: datetime = strawberry.field(description="When the change was stored.")


MemberChangeMessage = Annotated[
    MemberChange | StreamHeartbeat | ResyncRequired,
    strawberry.union("MemberChangeMessage", description="What `memberChanges` sends."),
]
SyncLogChangeMessage = Annotated[
    SyncLogChange | StreamHeartbeat | ResyncRequired,
    strawberry.union("SyncLogChangeMessage", description="What `syncLogChanges` sends."),
]
ViewerChangeMessage = Annotated[
    ViewerChange | StreamHeartbeat | ResyncRequired,
    strawberry.union("ViewerChangeMessage", description="What `viewerChanges` sends."),
]


@strawberry.type(description="Live changes, over graphql-transport-ws.")
class Subscription:
    @strawberry.subscription(
        description="The viewer's own access, member data and state, whenever they change. It ends "
        "with MEMBER_INACTIVE when the membership does."
    )
    async def viewer_changes(self, info: Info) -> AsyncGenerator[ViewerChangeMessage, None]:
        viewer = await info.context.require_viewer()
        lens = ViewerLens(viewer, lambda: _viewer_now(info))
        context = info.context
        async with aclosing(_resumable(stream(context.database, context.feed, lens, None))) as news:
            async for message in news:
                if isinstance(message, Heartbeat | Resync):
                    yield _envelope(message)
                elif message.view is not None:
                    yield ViewerChange(
                        cursor=_cursor(message.cursor),
                        viewer=await viewer_type(info, message.view, "viewer"),
                        occurred_at=message.occurred_at,
                    )

    @strawberry.subscription(description="Members the viewer may see, whenever they change.")
    async def member_changes(
        self,
        info: Info,
        organization_id: OrganizationId = None,
        after: AfterChange = None,
        filter: MemberFilterArgument = None,
    ) -> AsyncGenerator[MemberChangeMessage, None]:
        viewer = await info.context.require_viewer()
        condition = await member_condition(info, organization_id, filter)
        context = info.context
        lens = MemberLens(context.database, viewer.scope, condition, member_wants(info, "member"))
        source = stream(context.database, context.feed, lens, _place(after), _watch(info, viewer))
        async with aclosing(_resumable(source)) as news:
            async for message in news:
                if isinstance(message, Heartbeat | Resync):
                    yield _envelope(message)
                else:
                    yield _member_change(message)

    @strawberry.subscription(
        description="Sync-log entries the viewer may see, whenever they change. For administrators."
    )
    async def sync_log_changes(
        self,
        info: Info,
        organization_id: OrganizationId = None,
        after: AfterChange = None,
        filter: Annotated[
            SyncLogFilter | None, strawberry.argument(description="Only entries that meet this.")
        ] = None,
    ) -> AsyncGenerator[SyncLogChangeMessage, None]:
        viewer = await require_log_reader(info)
        condition = await entry_condition(info, organization_id, filter)
        context = info.context
        lens = EntryLens(context.database, viewer.scope, condition, entry_wants(info, "entry"))
        source = stream(context.database, context.feed, lens, _place(after), _watch(info, viewer))
        async with aclosing(_resumable(source)) as news:
            async for message in news:
                if isinstance(message, Heartbeat | Resync):
                    yield _envelope(message)
                else:
                    yield _entry_change(message)


def _member_change(notice: Notice[MemberView]) -> MemberChange:
    return MemberChange(
        cursor=_cursor(notice.cursor),
        operation=notice.operation,
        member_id=strawberry.ID(global_id("Member", notice.row_id)),
        member=None if notice.view is None else Member.from_view(notice.view),
        occurred_at=notice.occurred_at,
    )


def _entry_change(notice: Notice[EntryView]) -> SyncLogChange:
    return SyncLogChange(
        cursor=_cursor(notice.cursor),
        operation=notice.operation,
        entry_id=strawberry.ID(global_id("SyncLogEntry", notice.row_id)),
        entry=None if notice.view is None else SyncLogEntry.from_view(notice.view),
        occurred_at=notice.occurred_at,
    )


def _envelope(message: Heartbeat | Resync) -> StreamHeartbeat | ResyncRequired:
    if isinstance(message, Heartbeat):
        return StreamHeartbeat(cursor=_cursor(message.cursor), server_time=message.server_time)
    return ResyncRequired(cursor=_cursor(message.cursor), reason=ResyncReason(message.reason.value))


def _cursor(cursor: Cursor) -> ChangeCursor:
    return ChangeCursor(change_cursor(cursor))


def _place(after: ChangeCursor | None) -> Cursor | None:
    """Raises BadUserInputError."""
    return None if after is None else parse_change_cursor(after, "after")


def _watch(info: Info, viewer: ViewerNow) -> Watch:
    return Watch(viewer, lambda: _viewer_now(info))


async def _viewer_now(info: Info) -> ViewerNow:
    """Raises MemberInactiveError or UnauthenticatedError: then the stream ends."""
    viewer = await info.context.active_viewer_now()
    if viewer is None:
        raise UnauthenticatedError
    return viewer


async def _resumable(source: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    try:
        async for message in source:
            yield message
    except ForeignCursorError as error:
        raise BadUserInputError("This cursor is of another database.", "after") from error
