"""The open connections: when a membership ends, or a token, theirs are closed, whatever they do."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, Self

from db.errors import SlowConsumerError
from db.feed.change_feed import LiveFeed
from db.vocabulary import ActivationState, MemberId, Position
from schema.context import Credentials
from schema.errors import ApiError, MemberInactiveError, UnauthenticatedError

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0
FAREWELL_SECONDS = 0.5
LONGEST_TIMER_SECONDS = 24 * 3600.0


class Connection(Protocol):
    """Over which somebody is served for as long as it stands."""

    def refuse(self, error: ApiError) -> None:
        """Ends it, since whoever it belongs to may use it no longer. Waits for nobody."""

    def end(self) -> None:
        """Ends it, since the service stops: its client is to come back, to another process."""


@dataclass(slots=True)
class _Session:
    """Whose a connection is, and what will end it."""

    member_id: MemberId | None
    expiry: asyncio.TimerHandle | None = None


class Sessions:
    """Runs inside `async with`: one task per process follows the feed for all connections."""

    def __init__(self, feed: LiveFeed) -> None:
        self._feed = feed
        self._open: defaultdict[MemberId, set[Connection]] = defaultdict(set)
        self._sessions: dict[Connection, _Session] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="sessions")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    @property
    def position(self) -> Position:
        """Whoever was seen active before this, and is registered now, will be heard of."""
        return self._feed.position

    def opened(
        self, connection: Connection, credentials: Credentials | None, member_id: MemberId | None
    ) -> None:
        """Without a member, it is of nobody whose membership can end."""
        self.closed(connection)
        self._sessions[connection] = _Session(member_id)
        if member_id is not None:
            self._open[member_id].add(connection)
        if credentials is not None:
            self._wait_for_expiry(connection, credentials)

    def closed(self, connection: Connection) -> None:
        """Also for one that was never told of."""
        session = self._sessions.pop(connection, None)
        if session is None:
            return
        if session.expiry is not None:
            session.expiry.cancel()
        if session.member_id is not None:
            self._open[session.member_id].discard(connection)
            if not self._open[session.member_id]:
                del self._open[session.member_id]

    def end(self) -> None:
        for connection in list(self._sessions):
            connection.end()

    def _wait_for_expiry(self, connection: Connection, credentials: Credentials) -> None:
        session = self._sessions[connection]
        left = credentials.expires_at.timestamp() - time.time()
        if left <= 0:
            connection.refuse(UnauthenticatedError("The token has expired."))
            return
        # A token may live for centuries, which is more than timers are made for.
        session.expiry = asyncio.get_running_loop().call_later(
            min(left, LONGEST_TIMER_SECONDS), self._wait_for_expiry, connection, credentials
        )

    async def _run(self) -> None:
        while True:
            with suppress(SlowConsumerError):
                await self._follow()
            # Something may have been missed. Whoever comes back is looked up anew. First, streams
            # may say that they cannot go on.
            logger.warning("The sessions did not keep up with the feed; all are closed.")
            await asyncio.sleep(FAREWELL_SECONDS)
            self.end()

    async def _follow(self) -> None:
        async with self._feed.follow(self._feed.position) as follower:
            while True:
                ended = {
                    change.member_id
                    for change in await follower.next_changes(PATIENCE_SECONDS)
                    if change.member_id is not None
                    and change.facts.member_after is not None
                    and change.facts.member_after.state is ActivationState.INACTIVE
                }
                self._refuse([c for id in ended for c in self._open.get(id, ())])

    def _refuse(self, connections: Iterable[Connection]) -> None:
        for connection in connections:
            connection.refuse(MemberInactiveError())
