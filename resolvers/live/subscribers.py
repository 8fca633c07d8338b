"""Subscribers of live streams: what they asked for, and the connection their messages go to."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from db.vocabulary import Position
from resolvers.live.projections import Projection
from resolvers.live.stream_messages import ChangeMessage, Heartbeat, Resync
from resolvers.live.viewer_check import ViewerCheck

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message as every subscriber gets it: the answer to an operation, in JSON."""

    cursor: str
    payload: bytes


class Renderer(Protocol[V]):
    """Executes the operation of a subscription on one message after the other."""

    async def render(self, message: Heartbeat | Resync | ChangeMessage[V]) -> Rendered:
        """Raises DatabaseUnavailableError."""

    def failure(self, error: Exception) -> bytes:
        """Returns the errors that a client is sent for this one, as a list in JSON."""


class Sink(Protocol):
    """The end of a connection that takes the messages of one subscriber. No method waits."""

    def starts_at(self, cursor: str) -> None:
        """Takes the cursor of the first message, before that message comes."""

    def opened(self, leave: Callable[[], None]) -> None:
        """Messages come from now on, until somebody calls `leave`, which is safe at any time."""

    def next(self, messages: Sequence[Rendered]) -> bool:
        """Takes all messages, or none and returns False when too many wait to be sent."""

    def finish(self, message: Rendered) -> None:
        """Takes the last message, for which there is always room."""

    def fail(self, errors: bytes) -> None:
        """Ends with errors (a list, in JSON) instead of a last message."""


class Stream(Protocol):
    """A stream, as its subscribers know it: they can leave it."""

    def remove(self, subscriber: "Subscriber") -> None: ...


@dataclass(slots=True, eq=False)
class Subscriber:
    """`at` is the last position that was sent or hidden, `checked` the last one after which the
    viewer is known to see the same."""

    sink: Sink
    check: ViewerCheck
    at: Position
    checked: Position
    stream: "Stream | None" = None

    def leave(self) -> None:
        if self.stream is not None:
            self.stream.remove(self)


@dataclass(frozen=True, slots=True)
class Selection(Generic[V]):
    """The selection of a subscriber. Subscribers with equal keys share one stream.

    `text` identifies the document and its variables, whatever the projection.
    """

    projection: Projection[V]
    text: Hashable
    renderer: Callable[[], Renderer[V]]

    @property
    def key(self) -> Hashable:
        return (self.projection, self.text)
