"""Changes that were read from the feed together, and the rows they are about, read once for all
streams."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import Any, TypeVar

from db.database import Database
from db.publication import CommittedChange
from db.queries.members.visibility import EVERYTHING
from db.vocabulary import EntryId, MemberId
from resolvers.members import MemberFields, MemberView, member_views
from resolvers.sync_log import EntryFields, EntryView, entry_views

T = TypeVar("T")


class ChangeBatch:
    """The changes, and a cache of their rows as they are now, or at a later change.

    Rows are read without regard to visibility: streams decide with `is_seen_by`, which needs roles,
    so roles are always read.
    """

    def __init__(self, database: Database, changes: Sequence[CommittedChange]) -> None:
        self.changes = changes
        self._database = database
        self._reads: dict[Hashable, asyncio.Future[Any]] = {}

    async def members(self, fields: MemberFields) -> dict[MemberId, MemberView]:
        with_roles = MemberFields(roles=True, organizations=fields.organizations)

        async def read() -> dict[MemberId, MemberView]:
            ids = {change.member_id for change in self.changes if change.member_id is not None}
            async with self._database.read() as session:
                return await member_views(session, EVERYTHING, ids, with_roles)

        return await self.once(with_roles, read)

    async def entries(self, fields: EntryFields) -> dict[EntryId, EntryView]:
        member = fields.member
        with_roles = EntryFields(
            member and MemberFields(roles=True, organizations=member.organizations),
            organization=fields.organization,
            attempts=fields.attempts,
        )

        async def read() -> dict[EntryId, EntryView]:
            ids = {change.entry_id for change in self.changes if change.entry_id is not None}
            async with self._database.read() as session:
                return await entry_views(session, EVERYTHING, ids, with_roles)

        return await self.once(with_roles, read)

    async def once(self, key: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        """Returns one result of `read` to everybody with the same key. Failures are not kept."""
        reading = self._reads.get(key)
        if reading is None:
            reading = self._reads[key] = asyncio.ensure_future(read())
            reading.add_done_callback(partial(self._forget_failure, key))
        # A caller that is cancelled must not cancel the read for the others.
        result: T = await asyncio.shield(reading)
        return result

    def _forget_failure(self, key: Hashable, reading: asyncio.Future[Any]) -> None:
        # Asking for the exception also keeps asyncio from logging it when nobody waits any more.
        if reading.cancelled() or reading.exception() is not None:
            self._reads.pop(key, None)
