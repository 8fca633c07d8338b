"""The open connections of members: closed when their membership or their token ends."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar

from db.background_task import BackgroundTask
from db.errors import DatabaseUnavailableError, SlowConsumerError
from db.feed.change_feed import LiveFeed
from db.publication import CommittedChange
from db.queries.members.viewers import ViewerLookups
from db.vocabulary import ActivationState, MemberId, PortalId, Position
from schema.context import Credentials
from schema.errors import (
    ApiError,
    MemberInactiveError,
    RateLimitedError,
    UnauthenticatedError,
)

logger = logging.getLogger(__name__)

Key = TypeVar("Key", MemberId, PortalId)

PATIENCE_SECONDS = 60.0
FAREWELL_SECONDS = 0.5
LONGEST_TIMER_SECONDS = 24 * 3600.0
MAX_PER_MEMBER = 32
"""The most sockets and event streams of one member at a time, in this process."""


class TooManyConnectionsError(RateLimitedError):
    def __init__(self) -> None:
        super().__init__(
            f"You have {MAX_PER_MEMBER} open connections, which is the limit. Close one of them."
        )


class Connection(Protocol):
    """A socket or event stream that belongs to a viewer."""

    def refuse(self, error: ApiError) -> None:
        """Closes it because its viewer may no longer use it. Returns at once."""

    def close_for_restart(self) -> None:
        """Closes it because the service stops; the client should connect again."""


@dataclass(slots=True)
class _Registration:
    """The person of a connection, and the timer that ends it with its token.

    Operators and anonymous viewers have no `subject`; a person who is not known yet has no
    `member_id`.
    """

    subject: PortalId | None
    member_id: MemberId | None
    expiry: asyncio.TimerHandle | None = None


class OpenConnections(BackgroundTask):
    """Closes connections in time. Runs inside `async with`; one task follows the feed for all."""

    _task_name = "open connections"

    def __init__(self, feed: LiveFeed, viewers: ViewerLookups) -> None:
        self._feed = feed
        self._viewers = viewers
        self._by_member: defaultdict[MemberId, set[Connection]] = defaultdict(set)
        self._by_subject: defaultdict[PortalId, set[Connection]] = defaultdict(set)
        self._unknown: set[PortalId] = set()
        self._registrations: dict[Connection, _Registration] = {}

    @property
    def position(self) -> Position:
        """The place in the feed up to which deactivations have been read."""
        return self._feed.position

    def register(
        self, connection: Connection, credentials: Credentials | None, member_id: MemberId | None
    ) -> None:
        """Adds a connection, or replaces its registration.

        `member_id` is None for persons who are not known yet, operators and anonymous viewers.
        Raises TooManyConnectionsError.
        """
        self.unregister(connection)
        subject = None if credentials is None or credentials.operator else credentials.subject
        if subject is not None:
            if len(self._by_subject[subject]) >= MAX_PER_MEMBER:
                raise TooManyConnectionsError
            self._by_subject[subject].add(connection)
            if member_id is None:
                self._unknown.add(subject)
        if member_id is not None:
            self._by_member[member_id].add(connection)
        self._registrations[connection] = _Registration(subject, member_id)
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
            _take_out(connection, self._by_member, registration.member_id)
        if registration.subject is not None:
            _take_out(connection, self._by_subject, registration.subject)
            if registration.subject not in self._by_subject:
                self._unknown.discard(registration.subject)

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
                changes = await follower.next_changes(PATIENCE_SECONDS)
                if self._unknown and any(map(_creates_a_member, changes)):
                    await self._recognise()
                ended = {
                    change.member_id
                    for change in changes
                    if change.member_id is not None and _ends_a_membership(change)
                }
                self._refuse([c for id in ended for c in self._by_member.get(id, ())])

    async def _recognise(self) -> None:
        """Looks up again the persons who were not known when they connected."""
        subjects = list(self._unknown)
        try:
            found = await asyncio.gather(*map(self._viewers.find, subjects))
        except DatabaseUnavailableError:
            # Whether their memberships have ended cannot be told. Clients will connect again.
            for subject in subjects:
                for connection in list(self._by_subject.get(subject, ())):
                    connection.close_for_restart()
            return
        for subject, viewer in zip(subjects, found, strict=True):
            if viewer is None or viewer.member is None:
                continue
            self._unknown.discard(subject)
            for connection in list(self._by_subject.get(subject, ())):
                self._registrations[connection].member_id = viewer.member.id
                self._by_member[viewer.member.id].add(connection)
                if not viewer.is_active:
                    connection.refuse(MemberInactiveError())

    def _refuse(self, connections: Iterable[Connection]) -> None:
        for connection in connections:
            connection.refuse(MemberInactiveError())


def _creates_a_member(change: CommittedChange) -> bool:
    return change.facts.member_before is None and change.facts.member_after is not None


def _ends_a_membership(change: CommittedChange) -> bool:
    after = change.facts.member_after
    inactive = after is not None and after.state is ActivationState.INACTIVE
    return inactive or change.facts.forgotten


def _take_out(connection: Connection, among: dict[Key, set[Connection]], key: Key) -> None:
    among[key].discard(connection)
    if not among[key]:
        del among[key]
