"""Relay connections over keyset pages: their arguments, edges and page info."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

import msgspec
import strawberry

from db.feed.changes import Cursor
from db.queries.keyset import KeyValues, PageRequest, Slice
from schema.engine.checks.cost import MAX_SLICE
from schema.engine.views import View, from_view, view_type
from schema.errors import BadUserInputError
from schema.types.opaque import change_cursor, page_cursor, parse_page_cursor
from schema.types.scalars import ChangeCursor

T = TypeVar("T")

DEFAULT_PAGE = 25

First = Annotated[
    int | None,
    strawberry.argument(description="The size of the page, forward: 1 to 100; 25 by default."),
]
After = Annotated[str | None, strawberry.argument(description="Begins the page after this cursor.")]
Last = Annotated[
    int | None,
    strawberry.argument(description="The size of the page, backward: 1 to 100; 25 by default."),
]
Before = Annotated[str | None, strawberry.argument(description="Ends the page before this cursor.")]


class EdgeView(msgspec.Struct, Generic[T], frozen=True):
    order: str
    key: KeyValues
    node: T

    @property
    def cursor(self) -> str:
        return page_cursor(self.order, self.key)


@dataclass(frozen=True, slots=True)
class PageView(Generic[T]):
    """A page as connections show it. Its cursors hold in lists of the same `order` only."""

    order: str
    found: Slice[T]
    total: int | None = None
    read_at: Cursor | None = None

    @property
    def edges(self) -> list[EdgeView[T]]:
        found = self.found
        return [
            EdgeView(self.order, key, row) for key, row in zip(found.keys, found.rows, strict=True)
        ]

    @property
    def change_cursor(self) -> ChangeCursor:
        return ChangeCursor("" if self.read_at is None else change_cursor(self.read_at))

    def cursor(self, place: int) -> str | None:
        keys: Sequence[KeyValues] = self.found.keys
        return page_cursor(self.order, keys[place]) if keys else None


def itself(view: T) -> T:
    return view


@view_type("The position of a page in its list (Relay).")
class PageInfo(View[PageView[object]]):
    has_next_page: bool = from_view("found.has_next", "True if there are items after the page.")
    has_previous_page: bool = from_view(
        "found.has_previous", "True if there are items before the page."
    )
    start_cursor: str | None = from_view(
        lambda page: page.cursor(0), "The cursor of the first edge."
    )
    end_cursor: str | None = from_view(lambda page: page.cursor(-1), "The cursor of the last edge.")


@dataclass(frozen=True, slots=True)
class PageArguments:
    """The arguments of a connection: `first` and `after`, or `last` and `before`."""

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None

    def request(self, order: str, types: tuple[type, ...]) -> PageRequest:
        """Checks the arguments. Raises BadUserInputError."""
        backward = self.last is not None or self.before is not None
        if backward and (self.first is not None or self.after is not None):
            sent = "before" if self.last is None else "last"
            raise BadUserInputError("Send either `first` and `after` or `last` and `before`.", sent)
        size = self.size()
        cursor, cursor_name = (self.before, "before") if backward else (self.after, "after")
        start = None
        if cursor is not None:
            start = parse_page_cursor(cursor, order, types, cursor_name)
        return PageRequest(size, start, backward)

    def size(self) -> int:
        """Returns the size of the page. Raises BadUserInputError."""
        size, name = (self.first, "first") if self.last is None else (self.last, "last")
        if size is not None and not 1 <= size <= MAX_SLICE:
            raise BadUserInputError(f"Must be between 1 and {MAX_SLICE}; got {size}.", name)
        return DEFAULT_PAGE if size is None else size
