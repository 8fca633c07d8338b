"""Relay connections over keyset pages: arguments in, edges and page info out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import strawberry

from db.keyset import PageRequest, Slice
from schema.errors import BadUserInputError
from schema.opaque import page_cursor, parse_page_cursor

T = TypeVar("T")
N = TypeVar("N")
E = TypeVar("E")

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


def edges_of(
    page: Slice[T], order: str, edge: Callable[[str, N], E], node: Callable[[T], N]
) -> tuple[list[E], PageInfo]:
    cursors = [page_cursor(order, key) for key in page.keys]
    edges = [edge(cursor, node(row)) for cursor, row in zip(cursors, page.rows, strict=True)]
    info = PageInfo(
        has_next_page=page.has_next,
        has_previous_page=page.has_previous,
        start_cursor=cursors[0] if cursors else None,
        end_cursor=cursors[-1] if cursors else None,
    )
    return edges, info
