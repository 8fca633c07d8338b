"""Relay connections over keyset pages: arguments in, edges and page info out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

import msgspec
import strawberry

from db.feed.changes import Cursor
from db.queries.keyset import KeyValues, PageRequest, Slice
from schema.engine.cost import MAX_SLICE
from schema.engine.views import View, from_view, view_type
from schema.errors import BadUserInputError
from schema.types.opaque import change_cursor, page_cursor, parse_page_cursor
from schema.types.scalars import ChangeCursor

T = TypeVar("T")

DEFAULT_PAGE = 25

First = Annotated[
    int | None, strawberry.argument(description="How many at the most, forward: 1 to 100.")
]
After = Annotated[str | None, strawberry.argument(description="Only those after this cursor.")]
Last = Annotated[
    int | None, strawberry.argument(description="How many at the most, backward: 1 to 100.")
]
Before = Annotated[str | None, strawberry.argument(description="Only those before this cursor.")]


class EdgeView(msgspec.Struct, Generic[T], frozen=True):
    order: str
    key: KeyValues
    node: T

    @property
    def cursor(self) -> str:
        return page_cursor(self.order, self.key)


@dataclass(frozen=True, slots=True)
class PageView(Generic[T]):
    """A page as connections show it: `order` names its order, for cursors."""

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


@view_type("Where a page stands within its list (Relay).")
class PageInfo(View[PageView[object]]):
    has_next_page: bool = from_view("found.has_next", "Whether there is something after it.")
    has_previous_page: bool = from_view(
        "found.has_previous", "Whether there is something before it."
    )
    start_cursor: str | None = from_view(
        lambda page: page.cursor(0), "The cursor of its first edge."
    )
    end_cursor: str | None = from_view(lambda page: page.cursor(-1), "The cursor of its last edge.")


@dataclass(frozen=True, slots=True)
class PageArguments:
    """`first`/`after` read forward, `last`/`before` backward; not both at once."""

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None

    def request(self, order: str, types: tuple[type, ...]) -> PageRequest:
        """Raises BadUserInputError, naming the argument."""
        backward = self.last is not None or self.before is not None
        if backward and (self.first is not None or self.after is not None):
            sent = "before" if self.last is None else "last"
            raise BadUserInputError("Page either forward or backward, not both.", sent)
        size, size_name = (self.last, "last") if backward else (self.first, "first")
        cursor, cursor_name = (self.before, "before") if backward else (self.after, "after")
        if size is not None and not 1 <= size <= MAX_SLICE:
            raise BadUserInputError(f"Must be between 1 and {MAX_SLICE}.", size_name)
        start = None
        if cursor is not None:
            start = parse_page_cursor(cursor, order, types, cursor_name)
        return PageRequest(DEFAULT_PAGE if size is None else size, start, backward)
