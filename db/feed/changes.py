"""The change feed as it is stored: changes in the order of their commits, read by position."""

from dataclasses import dataclass, fields

from sqlalchemy import Integer, bindparam, func, select

from db.driver.statements.compiled_statements import CompiledStatement
from db.errors import CursorExpiredError, ForeignCursorError
from db.publication import CommittedChange
from db.sessions import ReadSession
from db.tables.models import Change, FeedHead
from db.vocabulary import Position


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in the feed of one database, which `feed_id` names."""

    feed_id: str
    position: Position


_HEAD = CompiledStatement(select(FeedHead.feed_id, FeedHead.position))
_AFTER = CompiledStatement(
    select(*(getattr(Change, field.name) for field in fields(CommittedChange)))
    .where(Change.position > bindparam("position"))
    .order_by(Change.position)
    .limit(bindparam("limit", type_=Integer))
)


async def feed_head(session: ReadSession) -> Cursor:
    rows = await session.rows(_HEAD, {})
    if not rows:
        raise RuntimeError("Table feed_head has no row; the first migration inserts it.")
    feed_id, position = rows[0]
    return Cursor(feed_id, Position(position))


async def changes_after(
    session: ReadSession, position: Position, *, limit: int
) -> list[CommittedChange]:
    rows = await session.rows(_AFTER, {"position": position, "limit": limit})
    return [CommittedChange(*row) for row in rows]


async def check_cursor(session: ReadSession, cursor: Cursor) -> None:
    """Raises ForeignCursorError for a position that this feed never had, and CursorExpiredError if
    the changes after it are no longer kept."""
    head = await feed_head(session)
    if cursor.feed_id != head.feed_id or not 0 <= cursor.position <= head.position:
        raise ForeignCursorError(
            "The cursor belongs to another change feed, or lies beyond its end."
        )
    oldest = await session.scalar(select(func.min(Change.position)))
    if cursor.position < head.position and (oldest is None or oldest > cursor.position + 1):
        raise CursorExpiredError("The changes after this cursor are no longer kept.")
