"""The open sockets of members: one whose membership ends is closed at once, whatever it does."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress

from db.errors import SlowConsumerError
from db.feed import LiveFeed
from db.vocabulary import ActivationState, MemberId

logger = logging.getLogger(__name__)

Close = Callable[[], Awaitable[None]]
PATIENCE_SECONDS = 60.0


class Sessions:
    """Runs inside `async with`: one task per process follows the feed for all sockets."""

    def __init__(self, feed: LiveFeed) -> None:
        self._feed = feed
        self._open: defaultdict[MemberId, set[Close]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Sessions":
        self._task = asyncio.create_task(self._run(), name="sessions")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def opened(self, member_id: MemberId, close: Close) -> None:
        self._open[member_id].add(close)

    def closed(self, member_id: MemberId, close: Close) -> None:
        self._open[member_id].discard(close)
        if not self._open[member_id]:
            del self._open[member_id]

    async def _run(self) -> None:
        while True:
            with suppress(SlowConsumerError):
                await self._follow()
            # Something may have been missed. Nobody who is still a member is hurt by a reconnect.
            logger.warning("The sessions did not keep up with the feed; all sockets are closed.")
            for member_id in list(self._open):
                await self._close(member_id)

    async def _follow(self) -> None:
        async with self._feed.follow(self._feed.position) as follower:
            while True:
                for change in await follower.next_changes(PATIENCE_SECONDS):
                    after = change.facts.member_after
                    if (
                        change.member_id is not None
                        and after is not None
                        and after.state is ActivationState.INACTIVE
                    ):
                        await self._close(change.member_id)

    async def _close(self, member_id: MemberId) -> None:
        for close in list(self._open.get(member_id, ())):
            # A socket that is closing already is closed as well.
            with suppress(RuntimeError):
                await close()
