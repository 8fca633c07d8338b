"""What resolvers find in `info.context`: the database, the feed, and who is asking."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import getrandbits
from typing import Any, TypeVar

import strawberry
from strawberry.dataloader import DataLoader

from db.database import Database
from db.feed.changes import Cursor
from db.queries.audit_trail import Act, record_act
from db.queries.entries import payloads
from db.queries.organizations import (
    OrganizationRow,
    national_bodies,
    organizations_below,
    organizations_by_id,
)
from db.queries.roles import role_holder_counts
from db.queries.viewers import OPERATOR, Viewer, ViewerLookups, viewer_of_member
from db.sessions import ReadSession
from db.vocabulary import AuditAction, EntryId, MemberId, OrganizationId, PortalId, RoleId
from resolvers.live.projections import Opening, opened
from resolvers.live.streams import LiveStreams
from resolvers.live.subscribers import Outlet
from resolvers.sync_log import EntryPage, FirstPage, first_pages_of
from schema.engine.field_use import NOBODY_IN_PARTICULAR, Client
from schema.errors import MemberInactiveError, UnauthenticatedError

K = TypeVar("K")
V = TypeVar("V")


def new_request_id() -> str:
    """What callers and the log call a request by."""
    # Not a secret: to ask the kernel for each would be a system call a request.
    return f"{getrandbits(64):016x}"


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
    """Of one operation. Its viewer is looked up once, and only if somebody asks.

    Of a subscription, `outlet` is where its messages go, and `resume_after` a cursor that the
    transport itself has from the client.
    """

    database: Database
    streams: LiveStreams
    clock: Callable[[], datetime]
    longest_silence: timedelta
    viewers: ViewerLookups
    credentials: Credentials | None = None
    request_id: str = field(default_factory=new_request_id)
    client: Client = NOBODY_IN_PARTICULAR
    outlet: Outlet | None = None
    resume_after: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    _viewer: asyncio.Future[Viewer | None] | None = None
    _loaders: dict[str, DataLoader[Any, Any]] = field(init=False, default_factory=dict)

    @property
    def organizations(self) -> DataLoader[OrganizationId, OrganizationRow | None]:
        return self._loader(self._load_organizations)

    @property
    def children(self) -> DataLoader[OrganizationId, list[OrganizationRow]]:
        return self._loader(self._load_children)

    @property
    def holder_counts(self) -> DataLoader[RoleId, int]:
        return self._loader(self._load_holder_counts)

    @property
    def payloads(self) -> DataLoader[EntryId, bytes | None]:
        return self._loader(self._load_payloads)

    @property
    def first_entries(self) -> DataLoader[tuple[MemberId, FirstPage], EntryPage]:
        return self._loader(self._load_first_entries)

    def _loader(self, load: Callable[[list[K]], Awaitable[Sequence[V]]]) -> DataLoader[K, V]:
        """Most operations need none of them. Without a cache: on a socket, a cached answer would
        show yesterday's."""
        name = getattr(load, "__name__", "")
        if name not in self._loaders:
            self._loaders[name] = DataLoader(load, cache=False)
        return self._loaders[name]

    def for_operation(self, variables: Mapping[str, Any]) -> "Context":
        """Several operations share a socket, and none may see the viewer of the one before."""
        return replace(self, variables=variables, _viewer=None)

    def for_stream(self, viewer: Viewer) -> "Context":
        """Of a stream that is shared by all who see what this viewer sees."""
        known: asyncio.Future[Viewer | None] = asyncio.get_running_loop().create_future()
        known.set_result(viewer)
        return replace(self, outlet=None, _viewer=known)

    async def viewer(self) -> Viewer | None:
        """None when nobody known is asking. Raises MemberInactiveError."""
        if self._viewer is None:
            credentials = self.credentials
            if credentials is None or credentials.operator or credentials.subject is None:
                return await self.viewer_now()
            self._viewer = self.viewers.find(credentials.subject)
        return _active(await self._viewer)

    @property
    def known_viewer(self) -> Viewer | None:
        """Without asking the database: None also where nobody has asked it yet."""
        if self.credentials is not None and self.credentials.operator:
            return OPERATOR
        looked_up = self._viewer
        if looked_up is None or not looked_up.done() or looked_up.cancelled():
            return None
        return None if looked_up.exception() else looked_up.result()

    async def require_viewer(self) -> Viewer:
        """Raises UnauthenticatedError or MemberInactiveError."""
        return _required(await self.viewer())

    async def viewer_now(self) -> Viewer | None:
        """The viewer as the database has them at this moment, inactive or not."""
        if self.credentials is None or self.credentials.operator:
            return None if self.credentials is None else OPERATOR
        if self.credentials.subject is None:
            return None
        return await self.viewers.find(self.credentials.subject)

    async def _viewer_in(self, session: ReadSession) -> Viewer | None:
        if self.credentials is None or self.credentials.operator:
            return None if self.credentials is None else OPERATOR
        if self.credentials.subject is None:
            return None
        return await viewer_of_member(session, self.credentials.subject)

    async def active_viewer_now(self) -> Viewer:
        """The viewer as the database has them at this moment. Raises UnauthenticatedError or
        MemberInactiveError."""
        return _required(await self.viewer_now())

    async def open_feed(self, after: Cursor | None) -> Opening:
        """The viewer, from now on, and the place in the feed where to begin are of one moment.

        Raises UnauthenticatedError or MemberInactiveError before anything is told of the cursor,
        then ForeignCursorError.
        """
        # An operator is not looked up, so there is only the one statement.
        looked_up = self.credentials is not None and not self.credentials.operator
        async with self.database.read(snapshot=looked_up or after is not None) as session:
            viewer = _required(await self._viewer_in(session))
            opening = await opened(session, viewer, after)
        self._viewer = asyncio.get_running_loop().create_future()
        self._viewer.set_result(viewer)
        return opening

    @property
    def actor(self) -> str:
        """Who acts, for the records."""
        return "nobody" if self.credentials is None else self.credentials.actor

    async def is_national(self, viewer: Viewer) -> bool:
        """Operators, and administrators of the national body."""
        if viewer.is_operator:
            return True
        async with self.database.read() as session:
            bodies = await national_bodies(session)
        return not bodies.isdisjoint(viewer.sight.administered)

    async def _load_organizations(
        self, ids: Sequence[OrganizationId]
    ) -> list[OrganizationRow | None]:
        async with self.database.read() as session:
            found = await organizations_by_id(session, ids)
        return [found.get(id) for id in ids]

    async def _load_first_entries(
        self, asked: Sequence[tuple[MemberId, FirstPage]]
    ) -> list[EntryPage]:
        viewer = await self.require_viewer()
        members: dict[FirstPage, list[MemberId]] = {}
        for member_id, page in asked:
            members.setdefault(page, []).append(member_id)
        found = {
            page: await first_pages_of(self.database, viewer.sight, ids, page)
            for page, ids in members.items()
        }
        return [found[page][member_id] for member_id, page in asked]

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
        # First, and in a transaction of its own: what cannot be recorded is not shown.
        # A body that is asked for twice, by another name, is read once.
        entries = list(dict.fromkeys(ids))
        act = Act(self.actor, AuditAction.PAYLOADS_READ, entries)
        async with self.database.write() as session:
            await record_act(session, act, self.clock())
        async with self.database.read() as session:
            found = await payloads(session, entries)
        return [found.get(id) for id in ids]


def _active(viewer: Viewer | None) -> Viewer | None:
    if viewer is not None and not viewer.is_active:
        raise MemberInactiveError
    return viewer


def _required(viewer: Viewer | None) -> Viewer:
    if _active(viewer) is None or viewer is None:
        raise UnauthenticatedError
    return viewer


Info = strawberry.Info[Context, None]
