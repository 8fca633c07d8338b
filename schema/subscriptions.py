"""Subscriptions: what changes, as it changes, for those who may see it."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import strawberry

from db.errors import ForeignCursorError
from db.feed.changes import Cursor
from db.queries.viewers import Viewer as ViewerNow
from db.vocabulary import ChangeOperation
from db.vocabulary import OrganizationId as OrganizationKey
from resolvers.live.projections import (
    EndReason,
    EntryLens,
    Heartbeat,
    Lens,
    MemberLens,
    Notice,
    Opening,
    Place,
    Resync,
    ViewerLens,
    Watch,
)
from resolvers.live.subscribers import Selection, Subscriber
from resolvers.members import MemberView
from resolvers.sync_log import EntryView
from schema.access import require_log_reader
from schema.context import Info
from schema.errors import BadUserInputError
from schema.streaming import SelectionRenderer, text_key
from schema.types.enums import ResyncReason
from schema.types.inputs import SyncLogFilter
from schema.types.nodes import (
    Member,
    MemberFilterArgument,
    SyncLogEntry,
    entry_condition,
    entry_wants,
    member_condition,
    member_wants,
)
from schema.types.opaque import change_cursor, global_id, parse_change_cursor, row_id
from schema.types.scalars import ChangeCursor
from schema.types.viewer import Viewer, viewer_type, viewer_wants

V = TypeVar("V")

AfterChange = Annotated[
    ChangeCursor | None,
    strawberry.argument(description="Go on after this place; from now on when it is left out."),
]
OrganizationId = Annotated[
    strawberry.ID | None,
    strawberry.argument(description="Only within this organization and those below it."),
]


@strawberry.type(
    description="The stream is alive. Comes first, every 15 seconds, and after many hidden changes."
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


@strawberry.type(description="Live changes, over graphql-transport-ws or server-sent events.")
class Subscription:
    @strawberry.subscription(
        description="The viewer's own access, member data and state, whenever they change. It ends "
        "with MEMBER_INACTIVE when the membership does."
    )
    async def viewer_changes(self, info: Info) -> AsyncGenerator[ViewerChangeMessage, None]:
        opening = await _opening(info, None)
        context, wants = info.context, viewer_wants(info, "viewer")
        member = opening.viewer.member
        lens = ViewerLens(
            context.credentials, None if member is None else member.id, context.active_viewer_now
        )

        async def typed(notice: Notice[ViewerNow]) -> ViewerChange:
            if notice.view is None:
                raise RuntimeError("A viewer is never out of their own sight.")
            return ViewerChange(
                cursor=_cursor(notice.cursor),
                viewer=await viewer_type(context, notice.view, wants),
                occurred_at=notice.occurred_at,
            )

        async for message in _shared(info, opening, lens, typed):
            yield message

    @strawberry.subscription(description="Members the viewer may see, whenever they change.")
    async def member_changes(
        self,
        info: Info,
        organization_id: OrganizationId = None,
        after: AfterChange = None,
        filter: MemberFilterArgument = None,
    ) -> AsyncGenerator[MemberChangeMessage, None]:
        opening = await _opening(info, after)
        condition = await member_condition(info, organization_id, filter)
        lens = MemberLens(
            opening.viewer.sight.shared(),
            condition,
            member_wants(info, "member"),
            _place(info, organization_id, condition.organization_ids),
        )
        async for message in _shared(info, opening, lens, _member_change):
            yield message

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
        opening = await _opening(info, after)
        await require_log_reader(info)
        condition = await entry_condition(info, organization_id, filter)
        lens = EntryLens(
            opening.viewer.sight.shared(),
            condition,
            entry_wants(info, "entry"),
            _place(info, organization_id, condition.organization_ids),
        )
        async for message in _shared(info, opening, lens, _entry_change):
            yield message


async def _shared(
    info: Info, opening: Opening, lens: Lens[V], typed: Callable[[Notice[V]], Any]
) -> AsyncGenerator[Any, None]:
    """The first message, which is the subscriber's own. All others come from a shared stream, by
    way of the outlet: this ends when they may."""
    context = info.context
    if context.outlet is None:
        raise RuntimeError("A subscription needs an outlet for what comes later.")
    context.outlet.place(change_cursor(opening.head if opening.expired else opening.at))
    if opening.expired:
        yield _envelope(Resync(opening.head, EndReason.CURSOR_EXPIRED))
        return
    yield _envelope(Heartbeat(opening.at, datetime.now(UTC)))
    viewer = replace(opening.viewer, sight=opening.viewer.sight.shared())
    selection = Selection(
        lens,
        text_key(info, context.variables),
        lambda: SelectionRenderer(
            info,
            context.for_stream(viewer),
            lambda message: typed(message) if isinstance(message, Notice) else _envelope(message),
        ),
    )
    place, head = opening.at.position, opening.head.position
    watch = Watch(context.credentials, opening.viewer, head, context.active_viewer_now)
    subscriber = Subscriber(context.outlet, watch, at=place, checked=place)
    context.streams.join(selection, subscriber, opening.at.feed_id)


async def _opening(info: Info, after: ChangeCursor | None) -> Opening:
    """Raises what the viewer is refused for, then BadUserInputError for the cursor."""
    context, argument = info.context, "after"
    if context.resume_after is not None:
        after, argument = ChangeCursor(context.resume_after), "Last-Event-ID"
    cursor = None
    try:
        cursor = None if after is None else parse_change_cursor(after, argument)
    except BadUserInputError:
        # Whoever may ask nothing is told nothing of their cursor either.
        await context.require_viewer()
        raise
    try:
        return await context.open_feed(cursor)
    except ForeignCursorError as error:
        raise BadUserInputError(
            "The change feed of this database has no such place. Query again, and subscribe after "
            "the `changeCursor` of that.",
            argument,
        ) from error


def _place(
    info: Info, organization_id: str | None, below: frozenset[OrganizationKey] | None
) -> Place | None:
    if organization_id is None or below is None:
        return None
    root = OrganizationKey(row_id(organization_id, "Organization", "organizationId"))
    return Place(info.context.database, root, below)


def _member_change(notice: Notice[MemberView]) -> MemberChange:
    return MemberChange(
        cursor=_cursor(notice.cursor),
        operation=notice.operation,
        member_id=strawberry.ID(global_id("Member", notice.row_id)),
        member=None if notice.view is None else Member(notice.view),
        occurred_at=notice.occurred_at,
    )


def _entry_change(notice: Notice[EntryView]) -> SyncLogChange:
    return SyncLogChange(
        cursor=_cursor(notice.cursor),
        operation=notice.operation,
        entry_id=strawberry.ID(global_id("SyncLogEntry", notice.row_id)),
        entry=None if notice.view is None else SyncLogEntry(notice.view),
        occurred_at=notice.occurred_at,
    )


def _envelope(message: Heartbeat | Resync) -> StreamHeartbeat | ResyncRequired:
    if isinstance(message, Heartbeat):
        return StreamHeartbeat(cursor=_cursor(message.cursor), server_time=message.server_time)
    return ResyncRequired(cursor=_cursor(message.cursor), reason=ResyncReason(message.reason.value))


def _cursor(cursor: Cursor) -> ChangeCursor:
    return ChangeCursor(change_cursor(cursor))
