"""What resolvers find in `info.context`: the database, the feed, and who is asking."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any

import strawberry
from strawberry.dataloader import DataLoader

from db.feed import LiveFeed
from db.organizations import (
    OrganizationRow,
    national_bodies,
    organizations_below,
    organizations_by_id,
)
from db.roles import role_holder_counts
from db.sync_log import payloads
from db.unit_of_work import Database
from db.viewers import OPERATOR, Viewer, viewer_of_member
from db.vocabulary import EntryId, OrganizationId, PortalId, RoleId
from schema.errors import MemberInactiveError, UnauthenticatedError


def new_request_id() -> str:
    """What callers and the log call a request by."""
    return token_hex(8)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a verified token says: whose it is, and until when. Never what they may do."""

    subject: PortalId | None
    operator: bool
    expires_at: datetime

    @property
    def actor(self) -> str:
        """Who acts, for the records."""
        return f"operator {self.subject}" if self.operator else f"member {self.subject}"


@dataclass(slots=True)
class Context:
    """Of one operation. Its viewer is looked up once, and only if somebody asks."""

    database: Database
    feed: LiveFeed
    clock: Callable[[], datetime]
    longest_silence: timedelta
    credentials: Credentials | None = None
    connection_params: dict[str, Any] | None = None
    request_id: str = field(default_factory=new_request_id)
    _viewer: asyncio.Task[Viewer | None] | None = None
    organizations: DataLoader[OrganizationId, OrganizationRow | None] = field(init=False)
    children: DataLoader[OrganizationId, list[OrganizationRow]] = field(init=False)
    holder_counts: DataLoader[RoleId, int] = field(init=False)
    payloads: DataLoader[EntryId, bytes | None] = field(init=False)

    def __post_init__(self) -> None:
        # Without a cache: on a socket, a cached answer would show yesterday's.
        self.organizations = DataLoader(self._load_organizations, cache=False)
        self.children = DataLoader(self._load_children, cache=False)
        self.holder_counts = DataLoader(self._load_holder_counts, cache=False)
        self.payloads = DataLoader(self._load_payloads, cache=False)

    def for_operation(self) -> "Context":
        """Several operations share a socket, and none may see the viewer of the one before."""
        return replace(self, _viewer=None)

    async def viewer(self) -> Viewer | None:
        """None when nobody known is asking. Raises MemberInactiveError."""
        if self._viewer is None:
            self._viewer = asyncio.create_task(self.viewer_now())
        return _active(await self._viewer)

    async def require_viewer(self) -> Viewer:
        """Raises UnauthenticatedError or MemberInactiveError."""
        viewer = await self.viewer()
        if viewer is None:
            raise UnauthenticatedError
        return viewer

    async def viewer_now(self) -> Viewer | None:
        """The viewer as the database has them at this moment, inactive or not."""
        if self.credentials is None:
            return None
        if self.credentials.operator:
            return OPERATOR
        if self.credentials.subject is None:
            return None
        async with self.database.read() as session:
            return await viewer_of_member(session, self.credentials.subject)

    async def active_viewer_now(self) -> Viewer | None:
        """The viewer as the database has them at this moment. Raises MemberInactiveError."""
        return _active(await self.viewer_now())

    async def is_national(self, viewer: Viewer) -> bool:
        """Operators, and administrators of the national body."""
        if viewer.is_operator:
            return True
        async with self.database.read() as session:
            bodies = await national_bodies(session)
        return not bodies.isdisjoint(viewer.scope.administered)

    async def _load_organizations(
        self, ids: Sequence[OrganizationId]
    ) -> list[OrganizationRow | None]:
        async with self.database.read() as session:
            found = await organizations_by_id(session, ids)
        return [found.get(id) for id in ids]

    async def _load_children(self, ids: Sequence[OrganizationId]) -> list[list[OrganizationRow]]:
        async with self.database.read() as session:
            found = await organizations_below(session, ids)
        return [found[id] for id in ids]

    async def _load_holder_counts(self, ids: Sequence[RoleId]) -> list[int]:
        async with self.database.read() as session:
            found = await role_holder_counts(session, ids)
        return [found[id] for id in ids]

    async def _load_payloads(self, ids: Sequence[EntryId]) -> list[bytes | None]:
        if not await self.is_national(await self.require_viewer()):
            return [None] * len(ids)
        async with self.database.read() as session:
            found = await payloads(session, ids)
        return [found.get(id) for id in ids]


def _active(viewer: Viewer | None) -> Viewer | None:
    if viewer is not None and not viewer.is_active:
        raise MemberInactiveError
    return viewer


Info = strawberry.Info[Context, None]
