"""The open connections of members: closed when their membership or their token ends."""

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
    """A socket or event stream that belongs to a viewer."""

    def refuse(self, error: ApiError) -> None:
        """Closes it because its viewer may no longer use it. Returns at once."""

    def close_for_restart(self) -> None:
        """Closes it because the service stops; the client should connect again."""


@dataclass(slots=True)
class _Registration:
    """The member of a connection, and the timer that ends it with its token."""

    member_id: MemberId | None
    expiry: asyncio.TimerHandle | None = None


class OpenConnections:
    """Closes connections in time. Runs inside `async with`; one task follows the feed for all."""

    def __init__(self, feed: LiveFeed) -> None:
        self._feed = feed
        self._by_member: defaultdict[MemberId, set[Connection]] = defaultdict(set)
        self._registrations: dict[Connection, _Registration] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="open connections")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    @property
    def position(self) -> Position:
        """The place in the feed up to which deactivations have been read."""
        return self._feed.position

    def register(
        self, connection: Connection, credentials: Credentials | None, member_id: MemberId | None
    ) -> None:
        """Adds a connection, or replaces its registration. `member_id` is None for operators and
        anonymous viewers, who have no membership that can end."""
        self.unregister(connection)
        self._registrations[connection] = _Registration(member_id)
        if member_id is not None:
            self._by_member[member_id].add(connection)
        if credentials is not None:
            self._wait_for_expiry(connection, credentials)

    def unregister(self, connection: Connection) -> None:
        """Does nothing for an unknown connection."""
        registration = self._registrations.pop(connection, None)
        if registration is None:
            return
        if registration.expiry is not None:
            registration.expiry.cancel()
        if registration.member_id is not None:
            self._by_member[registration.member_id].discard(connection)
            if not self._by_member[registration.member_id]:
                del self._by_member[registration.member_id]

    def close_all(self) -> None:
        for connection in list(self._registrations):
            connection.close_for_restart()

    def _wait_for_expiry(self, connection: Connection, credentials: Credentials) -> None:
        registration = self._registrations[connection]
        left = credentials.expires_at.timestamp() - time.time()
        if left <= 0:
            connection.refuse(UnauthenticatedError("The token has expired."))
            return
        # A token may be valid for centuries, longer than timers can wait.
        registration.expiry = asyncio.get_running_loop().call_later(
            min(left, LONGEST_TIMER_SECONDS), self._wait_for_expiry, connection, credentials
        )

    async def _run(self) -> None:
        while True:
            with suppress(SlowConsumerError):
                await self._follow()
            # A deactivation may have been missed. Clients that connect again are looked up anew;
            # before that, streams have a moment to tell them that they cannot go on.
            logger.warning("Fell behind the change feed: all open connections are closed.")
            await asyncio.sleep(FAREWELL_SECONDS)
            self.close_all()

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
                self._refuse([c for id in ended for c in self._by_member.get(id, ())])

    def _refuse(self, connections: Iterable[Connection]) -> None:
        for connection in connections:
            connection.refuse(MemberInactiveError())
