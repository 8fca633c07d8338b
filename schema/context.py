"""The context of an operation: the database, the change feed, and the viewer."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from random import getrandbits
from typing import Any, TypeVar

import strawberry
from strawberry.dataloader import DataLoader

from db.database import Database
from db.queries.members.viewers import OPERATOR, Viewer, ViewerLookups
from db.sessions import ReadSession
from db.vocabulary import PortalId
from resolvers.live.change_pages import ChangePages
from resolvers.live.streams import LiveStreams
from resolvers.live.subscribers import Sink
from resolvers.source_views import ConfiguredSource
from schema.engine.executor import Prepared
from schema.engine.field_use import UNNAMED_CLIENT, Client
from schema.errors import MemberInactiveError, MemberUnknownError
from sync.concerns.keeper import ConcernKeeper

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def new_request_id() -> str:
    """Returns a random id by which callers and the log refer to a request. It is no secret."""
    # The operating system's randomness would cost a system call for each request.
    return f"{getrandbits(64):016x}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The content of a verified token: whose it is and until when, not what they may do."""

    subject: PortalId | None
    operator: bool
    expires_at: datetime

    @property
    def actor(self) -> str:
        """The name under which actions are recorded."""
        return f"operator {self.subject}" if self.operator else f"member {self.subject}"


@dataclass(slots=True)
class Context:
    """The context of one operation.

    For a subscription, `prepared` is the operation itself, `sink` takes the messages after the
    first one, and `resume_after` is a cursor that the client gave to the transport instead of an
    argument.
    """

    database: Database
    streams: LiveStreams
    pages: ChangePages
    clock: Callable[[], datetime]
    concerns: ConcernKeeper
    viewers: ViewerLookups
    sources: Sequence[ConfiguredSource] = ()
    credentials: Credentials | None = None
    request_id: str = field(default_factory=new_request_id)
    client: Client = UNNAMED_CLIENT
    prepared: Prepared | None = None
    sink: Sink | None = None
    resume_after: str | None = None
    _viewer: asyncio.Future[Viewer | None] | None = None
    _loaders: dict[Callable[..., Any], DataLoader[Any, Any]] = field(
        init=False, default_factory=dict
    )

    def loader(
        self, load: Callable[["Context", list[K]], Awaitable[Sequence[V]]]
    ) -> DataLoader[K, V]:
        """Returns the loader that collects keys and passes them to `load` in one call.

        It keeps no results: on a socket, they would be out of date.
        """
        if load not in self._loaders:
            self._loaders[load] = DataLoader(partial(load, self), cache=False)
        return self._loaders[load]

    def for_operation(self) -> "Context":
        """Returns a context without a viewer, for the next operation on the same connection."""
        return replace(self, _viewer=None)

    def for_stream(self, viewer: Viewer) -> "Context":
        """Returns the context of a stream shared by all who see what this viewer sees."""
        return replace(self, sink=None, _viewer=_known(viewer))

    async def viewer(self) -> Viewer | None:
        """Returns the viewer of this operation, looked up once; None when anonymous.

        Raises MemberUnknownError or MemberInactiveError.
        """
        if self._viewer is None:
            self._viewer = self._look_up()
        return self.admitted(await self._viewer)

    def admitted(self, viewer: Viewer | None) -> Viewer | None:
        """Returns the viewer who was looked up for these credentials, None when anonymous.

        Raises MemberUnknownError or MemberInactiveError.
        """
        if viewer is None and self.credentials is not None:
            raise MemberUnknownError
        if viewer is not None and not viewer.is_active:
            raise MemberInactiveError
        return viewer

    async def current_viewer(self, session: ReadSession | None = None) -> Viewer | None:
        """Returns the viewer as the database has them now, active or not; None when anonymous or
        unknown.

        The operation goes on with this viewer. With a session, they are read in its snapshot.
        """
        subject = None if self.credentials is None else self.credentials.subject
        if session is None or subject is None or self._is_operator:
            self._viewer = self._look_up()
        else:
            self._viewer = _known(await self.viewers.find_in(session, subject))
        return await self._viewer

    @property
    def actor(self) -> str:
        """The name under which actions are recorded."""
        return "nobody" if self.credentials is None else self.credentials.actor

    @property
    def _is_operator(self) -> bool:
        return self.credentials is not None and self.credentials.operator

    def _look_up(self) -> asyncio.Future[Viewer | None]:
        if self._is_operator:
            return _known(OPERATOR)
        if self.credentials is None or self.credentials.subject is None:
            return _known(None)
        return self.viewers.find(self.credentials.subject)


def _known(viewer: Viewer | None) -> asyncio.Future[Viewer | None]:
    future: asyncio.Future[Viewer | None] = asyncio.get_running_loop().create_future()
    future.set_result(viewer)
    return future


Info = strawberry.Info[Context, None]
