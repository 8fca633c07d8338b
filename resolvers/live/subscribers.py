"""Those who are told of live changes: what they asked for, and where their messages go."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from db.vocabulary import Position
from resolvers.live.projections import Heartbeat, Lens, Notice, Resync, Watch

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message as every subscriber gets it: the answer to an operation, in JSON."""

    cursor: str
    payload: bytes


class Renderer(Protocol[V]):
    async def render(self, message: Heartbeat | Resync | Notice[V]) -> Rendered:
        """Raises DatabaseUnavailableError."""

    def failure(self, error: Exception) -> bytes:
        """What a subscriber is told of it."""


class Outlet(Protocol):
    """Where one subscriber's messages go. Nothing here waits."""

    def place(self, cursor: str) -> None:
        """Where the first message stands, before it comes."""

    def opened(self, leave: Callable[[], None]) -> None:
        """From now on, messages come. `leave` ends that, and may be called at any time."""

    def next(self, messages: Sequence[Rendered]) -> bool:
        """All of them or none: False when there is no room, as the subscriber does not keep up."""

    def finish(self, message: Rendered) -> None:
        """The last message, for which there is always room."""

    def fail(self, errors: bytes) -> None:
        """The end, with errors (a list, in JSON) in place of a last message."""


class Stream(Protocol):
    """What a subscriber can leave."""

    def remove(self, subscriber: "Subscriber") -> None: ...


@dataclass(slots=True, eq=False)
class Subscriber:
    """`at` is the position up to which nothing is due any more, `checked` the one up to which its
    viewer is known to have kept their sight."""

    outlet: Outlet
    watch: Watch
    at: Position
    checked: Position
    stream: "Stream | None" = None

    def leave(self) -> None:
        if self.stream is not None:
            self.stream.remove(self)


@dataclass(frozen=True, slots=True)
class Selection(Generic[V]):
    """What was asked for. Of those with the same lens and the same key, one is enough.

    `text` stands for the document and its variables, whatever the lens.
    """

    lens: Lens[V]
    text: Hashable
    renderer: Callable[[], Renderer[V]]

    @property
    def key(self) -> Hashable:
        return (self.lens, self.text)
