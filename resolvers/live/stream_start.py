"""The place in the change feed at which a stream begins."""

from dataclasses import dataclass

from db.errors import CursorExpiredError
from db.feed.changes import Cursor, check_cursor, feed_head
from db.queries.viewers import Viewer
from db.sessions import ReadSession


@dataclass(frozen=True, slots=True)
class StreamStart:
    """A stream begins after `at`. The feed ended at `head` when `viewer` was looked up.

    `expired` says that changes between the two are no longer kept.
    """

    viewer: Viewer
    at: Cursor
    head: Cursor
    expired: bool = False


async def stream_start(session: ReadSession, viewer: Viewer, after: Cursor | None) -> StreamStart:
    """Begins after the cursor, or now. The viewer must be read in the snapshot of the session.

    Raises ForeignCursorError for a cursor of another feed.
    """
    head = await feed_head(session)
    if after is None:
        return StreamStart(viewer, head, head)
    try:
        await check_cursor(session, after)
    except CursorExpiredError:
        return StreamStart(viewer, after, head, expired=True)
    return StreamStart(viewer, after, head)
