"""The root type of subscriptions, and the messages they send."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import strawberry

from db.queries.members.viewers import Viewer
from db.vocabulary import AuditAction, ChangeOperation, OrganizationId
from resolvers.live.projections import (
    EntryProjection,
    MemberProjection,
    Place,
    Projection,
    ViewerProjection,
)
from resolvers.live.stream_messages import ChangeMessage, Heartbeat, Resync, ResyncReason
from resolvers.live.stream_start import StreamStart
from resolvers.live.subscribers import Selection, Subscriber
from resolvers.live.viewer_check import ViewerCheck
from resolvers.sync_log import EntryView
from schema.access import require_log_reader, require_viewer, required
from schema.context import Context, Info
from schema.errors import BadUserInputError
from schema.streaming import SelectionRenderer, stream_begin, text_key
from schema.types.inputs import MemberFilterArgument, OrganizationArgument, SyncLogFilterArgument
from schema.types.loading import (
    asks_for_values,
    entry_fields,
    entry_filter,
    member_fields,
    member_filter,
    record_reading,
)
from schema.types.member_changes import MemberChange, member_change, typed_cursor
from schema.types.nodes import SyncLogEntryType
from schema.types.opaque import change_cursor, global_id, parse_change_cursor, row_id
from schema.types.scalars import ChangeCursor
from schema.types.viewer import ViewerType, load_viewer, viewer_fields

V = TypeVar("V")

AfterChange = Annotated[
    ChangeCursor | None,
    strawberry.argument(
        description="The cursor to continue after; by default, the stream begins now."
    ),
]


@strawberry.type(
    description="A sign of life. Comes first, every 15 seconds, and after many hidden changes."
)
class StreamHeartbeat:
    cursor: ChangeCursor = strawberry.field(
        description="The cursor up to which everything was sent."
    )
    server_time: datetime = strawberry.field(description="The time of the server.")


@strawberry.type(
    description="The last message of a stream that cannot continue. Query again, then subscribe."
)
class ResyncRequired:
    cursor: ChangeCursor = strawberry.field(
        description="The cursor up to which everything was sent."
    )
    reason: ResyncReason = strawberry.field(description="The reason.")


@strawberry.type(description="A change of a sync-log entry.")
class SyncLogChange:
    cursor: ChangeCursor = strawberry.field(description="The cursor to continue after.")
    operation: ChangeOperation = strawberry.field(description="The kind of change for this viewer.")
    entry_id: strawberry.ID = strawberry.field(description="The id of the entry.")
    entry: SyncLogEntryType | None = strawberry.field(
        description="The entry as it is now; null when no longer visible."
    )
    occurred_at: datetime = strawberry.field(description="The time at which the change was stored.")


@strawberry.type(description="A change of the viewer or of their access.")
class ViewerChange:
    cursor: ChangeCursor = strawberry.field(description="The cursor of the change.")
    viewer: ViewerType = strawberry.field(description="The viewer as they are now.")
    occurred_at: datetime = strawberry.field(description="The time at which the change was stored.")


MemberChangeMessage = Annotated[
    MemberChange | StreamHeartbeat | ResyncRequired,
    strawberry.union("MemberChangeMessage", description="A message of `memberChanges`."),
]
SyncLogChangeMessage = Annotated[
    SyncLogChange | StreamHeartbeat | ResyncRequired,
    strawberry.union("SyncLogChangeMessage", description="A message of `syncLogChanges`."),
]
ViewerChangeMessage = Annotated[
    ViewerChange | StreamHeartbeat | ResyncRequired,
    strawberry.union("ViewerChangeMessage", description="A message of `viewerChanges`."),
]


@strawberry.type(
    description="All subscriptions, over WebSocket (graphql-transport-ws) or server-sent events."
)
class Subscription:
    @strawberry.subscription(
        description="Changes of the viewer's own data, state and access. Ends with the error "
        "MEMBER_INACTIVE when the membership ends."
    )
    async def viewer_changes(
        self, info: Info, after: AfterChange = None
    ) -> AsyncGenerator[ViewerChangeMessage, None]:
        start = await _start(info, after)
        context, fields = info.context, viewer_fields(info, "viewer")
        member = start.viewer.member
        projection = ViewerProjection(
            context.credentials,
            None if member is None else member.id,
            lambda: _require_current_viewer(context),
        )

        async def typed(message: ChangeMessage[Viewer]) -> ViewerChange:
            if message.view is None:
                raise RuntimeError("A viewer always sees themselves.")
            return ViewerChange(
                cursor=typed_cursor(message.cursor),
                viewer=await load_viewer(context, message.view, fields),
                occurred_at=message.occurred_at,
            )

        async for first in _joined(info, start, projection, typed):
            yield first

    @strawberry.subscription(description="Changes of members that the viewer may see.")
    async def member_changes(
        self,
        info: Info,
        organization_id: OrganizationArgument = None,
        after: AfterChange = None,
        filter: MemberFilterArgument = None,
    ) -> AsyncGenerator[MemberChangeMessage, None]:
        start = await _start(info, after)
        members = await member_filter(info.context, organization_id, filter)
        projection = MemberProjection(
            start.viewer.sight.shared(),
            members,
            member_fields(info, "member"),
            _place(info, organization_id, members.organization_ids),
        )
        async for first in _joined(info, start, projection, member_change):
            yield first

    @strawberry.subscription(
        description="Changes of the sync-log entries that the viewer may see. For administrators."
    )
    async def sync_log_changes(
        self,
        info: Info,
        organization_id: OrganizationArgument = None,
        after: AfterChange = None,
        filter: SyncLogFilterArgument = None,
    ) -> AsyncGenerator[SyncLogChangeMessage, None]:
        start = await _start(info, after)
        await require_log_reader(info)
        entries = await entry_filter(info.context, organization_id, filter)
        if asks_for_values(info, "entry", "changes"):
            action = AuditAction.VALUES_READ
            await record_reading(info.context, action, [], "followed the sync log from now on")
        projection = EntryProjection(
            start.viewer.sight.shared(),
            entries,
            entry_fields(info, "entry"),
            _place(info, organization_id, entries.organization_ids),
        )
        async for first in _joined(info, start, projection, _entry_change):
            yield first


async def _joined(
    info: Info,
    start: StreamStart,
    projection: Projection[V],
    typed: Callable[[ChangeMessage[V]], Any],
) -> AsyncGenerator[Any, None]:
    """Yields the first message, then joins a shared stream, which sends the others to the sink."""
    context = info.context
    sink, prepared = context.sink, context.prepared
    if sink is None or prepared is None:
        raise RuntimeError("A subscription needs a sink for the messages after the first one.")
    sink.starts_at(change_cursor(start.head if start.expired else start.at))
    if start.expired:
        yield _envelope(Resync(start.head, ResyncReason.CURSOR_EXPIRED))
        return
    yield _envelope(Heartbeat(start.at, datetime.now(UTC)))
    viewer = replace(start.viewer, sight=start.viewer.sight.shared())
    selection = Selection(
        projection,
        text_key(prepared),
        lambda: SelectionRenderer(
            prepared,
            context.for_stream(viewer),
            lambda message: (
                typed(message) if isinstance(message, ChangeMessage) else _envelope(message)
            ),
        ),
    )
    place, head = start.at.position, start.head.position
    check = ViewerCheck(
        context.credentials, start.viewer, head, lambda: _require_current_viewer(context)
    )
    subscriber = Subscriber(sink, check, at=place, checked=place)
    context.streams.join(selection, subscriber, start.at.feed_id)


async def _start(info: Info, after: ChangeCursor | None) -> StreamStart:
    """Finds the viewer and the place to begin at, in one snapshot of the database.

    Raises UnauthenticatedError or MemberInactiveError, then BadUserInputError for the cursor.
    """
    context, argument = info.context, "after"
    if context.resume_after is not None:
        after, argument = ChangeCursor(context.resume_after), "Last-Event-ID"
    cursor = None
    try:
        cursor = None if after is None else parse_change_cursor(after, argument)
    except BadUserInputError:
        # Viewers who may ask nothing learn nothing about their cursor either.
        await require_viewer(context)
        raise
    return await stream_begin(context, cursor)


async def _require_current_viewer(context: Context) -> Viewer:
    return required(context.admitted(await context.current_viewer()))


def _place(
    info: Info, organization_id: str | None, below: frozenset[OrganizationId] | None
) -> Place | None:
    if organization_id is None or below is None:
        return None
    root = OrganizationId(row_id(organization_id, "Organization", "organizationId"))
    return Place(info.context.database, root, below)


def _entry_change(message: ChangeMessage[EntryView]) -> SyncLogChange:
    return SyncLogChange(
        cursor=typed_cursor(message.cursor),
        operation=message.operation,
        entry_id=strawberry.ID(global_id("SyncLogEntry", message.row_id)),
        entry=None if message.view is None else SyncLogEntryType(message.view),
        occurred_at=message.occurred_at,
    )


def _envelope(message: Heartbeat | Resync) -> StreamHeartbeat | ResyncRequired:
    if isinstance(message, Heartbeat):
        return StreamHeartbeat(cursor=typed_cursor(message.cursor), server_time=message.server_time)
    return ResyncRequired(cursor=typed_cursor(message.cursor), reason=message.reason)
