"""The change feed as stored: changes in the order of their commits, read by position."""

from dataclasses import dataclass

from sqlalchemy import Integer, bindparam, func, select

from db.driver.compiled_statements import CompiledStatement
from db.errors import CursorExpiredError, ForeignCursorError
from db.publication import CommittedChange
from db.sessions import ReadSession
from db.tables.models import Change, FeedHead
from db.vocabulary import Position


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in one database's feed; `feed_id` tells it from the feed of another database."""

    feed_id: str
    position: Position


# Asked whenever somebody subscribes.
_HEAD = CompiledStatement(select(FeedHead.feed_id, FeedHead.position))
_AFTER = CompiledStatement(
    select(
        Change.position,
        Change.committed_at,
        Change.member_id,
        Change.entry_id,
        Change.access_changed,
        Change.facts,
    )
    .where(Change.position > bindparam("position"))
    .order_by(Change.position)
    .limit(bindparam("limit", type_=Integer))
)


async def feed_head(session: ReadSession) -> Cursor:
    rows = await session.rows(_HEAD, {})
    if not rows:
        raise RuntimeError("The change feed has no head row; the migrations make it.")
    feed_id, position = rows[0]
    return Cursor(feed_id, Position(position))


async def changes_after(
    session: ReadSession, position: Position, *, limit: int
) -> list[CommittedChange]:
    rows = await session.rows(_AFTER, {"position": position, "limit": limit})
    return [CommittedChange(*row) for row in rows]


async def check_cursor(session: ReadSession, cursor: Cursor) -> None:
    """Raises ForeignCursorError for a place this feed never had, CursorExpiredError for one whose
    following changes are no longer kept."""
    head = await feed_head(session)
    if cursor.feed_id != head.feed_id or not 0 <= cursor.position <= head.position:
        raise ForeignCursorError("The cursor is not one of this change feed.")
    oldest = await session.scalar(select(func.min(Change.position)))
    if cursor.position < head.position and (oldest is None or oldest > cursor.position + 1):
        raise CursorExpiredError("The changes after this cursor are no longer kept.")
