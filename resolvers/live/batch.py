"""Changes that were read from the feed together, and what they are about: read once, for whoever
shows it to subscribers."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import Any, TypeVar

from db.database import Database
from db.publication import CommittedChange
from db.queries.visibility import Sight
from db.vocabulary import EntryId, MemberId
from resolvers.members import MemberView, MemberWants, member_views
from resolvers.sync_log import EntryView, EntryWants, entry_views

T = TypeVar("T")

_EVERYTHING = Sight(everything=True)


class Batch:
    """What is read here is read after the changes were, so it shows them, and maybe later ones.

    It is shown to nobody yet: who may see it is to be decided by `is_seen_by` and its like, hence
    roles are always read.
    """

    def __init__(self, database: Database, changes: Sequence[CommittedChange]) -> None:
        self.changes = changes
        self._database = database
        self._reads: dict[Hashable, asyncio.Future[Any]] = {}

    async def members(self, wants: MemberWants) -> dict[MemberId, MemberView]:
        with_roles = MemberWants(roles=True, organizations=wants.organizations)

        async def read() -> dict[MemberId, MemberView]:
            ids = {change.member_id for change in self.changes if change.member_id is not None}
            async with self._database.read() as session:
                return await member_views(session, _EVERYTHING, ids, with_roles)

        return await self.once(with_roles, read)

    async def entries(self, wants: EntryWants) -> dict[EntryId, EntryView]:
        member = wants.member
        with_roles = EntryWants(
            member and MemberWants(roles=True, organizations=member.organizations),
            organization=wants.organization,
            attempts=wants.attempts,
        )

        async def read() -> dict[EntryId, EntryView]:
            ids = {change.entry_id for change in self.changes if change.entry_id is not None}
            async with self._database.read() as session:
                return await entry_views(session, _EVERYTHING, ids, with_roles)

        return await self.once(with_roles, read)

    async def once(self, what: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        """For whoever asks for the same, at the same time or later. A failure is not kept."""
        reading = self._reads.get(what)
        if reading is None:
            reading = self._reads[what] = asyncio.ensure_future(read())
            reading.add_done_callback(partial(self._forget_failure, what))
        # Whoever waits may be cancelled; the others still need it.
        result: T = await asyncio.shield(reading)
        return result

    def _forget_failure(self, what: Hashable, reading: asyncio.Future[Any]) -> None:
        """Also when nobody waits any longer: then nobody is to hear of it either."""
        if reading.cancelled() or reading.exception() is not None:
            self._reads.pop(what, None)
