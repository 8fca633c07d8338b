"""Changes of members, as subscriptions send them and as pages list them."""

from datetime import datetime

import strawberry

from db.feed.changes import Cursor
from db.vocabulary import ChangeOperation
from resolvers.live.change_pages import ChangePage
from resolvers.live.stream_messages import ChangeMessage, ResyncReason
from resolvers.members import MemberView
from schema.types.nodes import MemberType
from schema.types.opaque import change_cursor, global_id
from schema.types.scalars import ChangeCursor


@strawberry.type(description="A change of a member.")
class MemberChange:
    cursor: ChangeCursor = strawberry.field(description="The cursor to continue after.")
    operation: ChangeOperation = strawberry.field(description="The kind of change for this viewer.")
    member_id: strawberry.ID = strawberry.field(description="The id of the member.")
    removed_member_id: strawberry.ID | None = strawberry.field(
        description="The id of a member who left the viewer's sight; null otherwise. For Relay's "
        "directives `@deleteRecord` and `@deleteEdge`."
    )
    member: MemberType | None = strawberry.field(
        description="The member as they are now; null when no longer visible."
    )
    occurred_at: datetime = strawberry.field(description="The time at which the change was stored.")


@strawberry.type(
    description="The next changes after a cursor, for who was away and has no subscription."
)
class MemberChangePage:
    changes: list[MemberChange] = strawberry.field(description="The changes, the oldest first.")
    cursor: ChangeCursor = strawberry.field(description="The cursor to continue after.")
    has_more: bool = strawberry.field(
        description="True if there are more changes: ask again, after `cursor`."
    )
    resync: ResyncReason | None = strawberry.field(
        description="The reason why the changes cannot be told; null otherwise. Read the members "
        "again, then continue after the `changeCursor` of that page."
    )


def typed_cursor(cursor: Cursor) -> ChangeCursor:
    return ChangeCursor(change_cursor(cursor))


def member_change(message: ChangeMessage[MemberView]) -> MemberChange:
    id = strawberry.ID(global_id("Member", message.row_id))
    return MemberChange(
        cursor=typed_cursor(message.cursor),
        operation=message.operation,
        member_id=id,
        removed_member_id=id if message.operation is ChangeOperation.REMOVED else None,
        member=None if message.view is None else MemberType(message.view),
        occurred_at=message.occurred_at,
    )


def member_change_page(page: ChangePage) -> MemberChangePage:
    return MemberChangePage(
        changes=[member_change(message) for message in page.messages],
        cursor=typed_cursor(page.cursor),
        has_more=page.more,
        resync=page.resync,
    )
