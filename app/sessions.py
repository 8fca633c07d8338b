"""The open connections: when a membership ends, its are closed, whatever they do."""

import asyncio
import logging
from collections import defaultdict
from contextlib import suppress
from typing import Protocol, Self

from db.errors import SlowConsumerError
from db.feed import LiveFeed
from db.vocabulary import ActivationState, MemberId, Position

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0


class Connection(Protocol):
    """Over which somebody is served for as long as it stands."""

    async def refuse(self) -> None:
        """Ends it, since whoever it belongs to may use it no longer. Takes a second at the most."""

    def end(self) -> None:
        """Ends it, since the service stops: its client is to come back, to another process."""


class Sessions:
    """Runs inside `async with`: one task per process follows the feed for all connections."""

    def __init__(self, feed: LiveFeed) -> None:
        self._feed = feed
        self._open: defaultdict[MemberId, set[Connection]] = defaultdict(set)
        self._members: dict[Connection, MemberId | None] = {}
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

    def opened(self, connection: Connection, member_id: MemberId | None) -> None:
        """None: of nobody whose membership can end."""
        self._members[connection] = member_id
        if member_id is not None:
            self._open[member_id].add(connection)

    def closed(self, connection: Connection) -> None:
        """Also for one that was never told of."""
        member_id = self._members.pop(connection, None)
        if member_id is not None:
            self._open[member_id].discard(connection)
            if not self._open[member_id]:
                del self._open[member_id]

    def end(self) -> None:
        for connection in list(self._members):
            connection.end()

    async def _run(self) -> None:
        while True:
            with suppress(SlowConsumerError):
                await self._follow()
            # Something may have been missed. Nobody who is still a member is hurt by a reconnect.
            logger.warning("The sessions did not keep up with the feed; all are closed.")
            await self._refuse(list(self._members))

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
                await self._refuse([c for id in ended for c in self._open.get(id, ())])

    async def _refuse(self, connections: list[Connection]) -> None:
        await asyncio.gather(*(c.refuse() for c in connections), return_exceptions=True)
