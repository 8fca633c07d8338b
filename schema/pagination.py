"""Relay connections over keyset pages: arguments in, edges and page info out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import strawberry

from db.keyset import PageRequest, Slice
from schema.context import Info
from schema.errors import BadUserInputError
from schema.lookahead import selected
from schema.opaque import page_cursor, parse_page_cursor

T = TypeVar("T")

DEFAULT_PAGE = 25
MAX_PAGE = 100


@strawberry.type(description="Where a page stands within its list (Relay).")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether there is something after it.")
    has_previous_page: bool = strawberry.field(description="Whether there is something before it.")
    start_cursor: str | None = strawberry.field(description="The cursor of its first edge.")
    end_cursor: str | None = strawberry.field(description="The cursor of its last edge.")


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
            raise BadUserInputError("Page either forward or backward, not both.", "last")
        size, size_name = (self.last, "last") if backward else (self.first, "first")
        cursor, cursor_name = (self.before, "before") if backward else (self.after, "after")
        if size is not None and not 1 <= size <= MAX_PAGE:
            raise BadUserInputError(f"Must be between 1 and {MAX_PAGE}.", size_name)
        start = None
        if cursor is not None:
            start = parse_page_cursor(cursor, order, types, cursor_name)
        return PageRequest(DEFAULT_PAGE if size is None else size, start, backward)


@dataclass(frozen=True, slots=True)
class Cursors:
    """Of a page; those of its edges are empty when nobody asked for them."""

    each: Sequence[str]
    page_info: PageInfo


def wanted_cursors(info: Info, page: Slice[T], order: str) -> Cursors:
    """For the connection that is being resolved. To write a hundred of them takes a while."""
    each = [""] * len(page.keys)
    if "cursor" in selected(info, "edges"):
        each = [page_cursor(order, key) for key in page.keys]
    keys = page.keys
    return Cursors(
        each,
        PageInfo(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=page_cursor(order, keys[0]) if keys else None,
            end_cursor=page_cursor(order, keys[-1]) if keys else None,
        ),
    )
