"""Bounds the work of an operation while it is executed, because its lists may hold more than its
text promised: counts their items, keeps to a deadline, and lets other requests go on meanwhile."""

import asyncio
from collections.abc import Callable, Sized
from inspect import isawaitable
from time import monotonic
from typing import Any, TypeVar

from graphql.pyutils import AwaitableOrValue

from schema.errors import LimitError

L = TypeVar("L", bound=Sized)

TURN_SECONDS = 0.02
"""How long an operation computes in one turn of the event loop, in which everybody else waits."""


class Work:
    """The work of one execution. `most_items`: the most that all lists of the answer may hold;
    `seconds`: how long it may take, computing included."""

    __slots__ = ("_deadline", "_items", "_most_items", "_seconds", "_turn_began", "exceeded")

    def __init__(self, most_items: int, seconds: float) -> None:
        self.exceeded: LimitError | None = None
        """The limit that was met. Nothing more is completed then."""
        self._items = 0
        self._most_items = most_items
        self._seconds = seconds
        self._deadline = monotonic() + seconds
        self._turn_began: float | None = None

    def count(self, items: L) -> L:
        """Returns the items of a list. Raises LimitError when there are too many, or it is late."""
        self._items += len(items)
        if self._items > self._most_items:
            self.exceeded = LimitError("operation.items", None, self._most_items)
        elif monotonic() > self._deadline:
            self.exceeded = LimitError("operation.seconds", None, round(self._seconds))
        if self.exceeded is not None:
            raise self.exceeded
        return items

    def turn_is_over(self) -> bool:
        """Returns True if the operation has computed for long enough in this turn of the loop."""
        now = monotonic()
        if self._turn_began is None:
            self._turn_began = now
            asyncio.get_running_loop().call_soon(self._end_turn)
        return now - self._turn_began > TURN_SECONDS

    def _end_turn(self) -> None:
        self._turn_began = None

    async def in_turn(self, complete: Callable[[], AwaitableOrValue[Any]]) -> Any:
        """Completes a value in a turn of the loop that has time left for this operation."""
        # Turns end with each round of the loop; no event tells of it.
        while self.turn_is_over():  # noqa: ASYNC110
            await asyncio.sleep(0)
        completed = complete()
        return await completed if isawaitable(completed) else completed
