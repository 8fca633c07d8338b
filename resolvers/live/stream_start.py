"""The place in the change feed at which a stream begins."""

from dataclasses import dataclass

from db.errors import CursorExpiredError, ForeignCursorError
from db.feed.changes import Cursor, check_cursor, feed_head
from db.queries.members.viewers import Viewer
from db.sessions import ReadSession


@dataclass(frozen=True, slots=True)
class StreamStart:
    """A stream begins after `at`. The feed ended at `head` when `viewer` was looked up.

    `expired` says that what has happened since the cursor cannot be told: changes are no longer
    kept, or the cursor is of another feed, as after the restore of a backup.
    """

    viewer: Viewer
    at: Cursor
    head: Cursor
    expired: bool = False


async def stream_start(session: ReadSession, viewer: Viewer, after: Cursor | None) -> StreamStart:
    """Begins after the cursor, or now. The viewer must be read in the snapshot of the session."""
    head = await feed_head(session)
    if after is None:
        return StreamStart(viewer, head, head)
    try:
        await check_cursor(session, after)
    except (CursorExpiredError, ForeignCursorError):
        return StreamStart(viewer, head, head, expired=True)
    return StreamStart(viewer, after, head)
