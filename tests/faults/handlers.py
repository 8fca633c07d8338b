"""Handlers that fail, as often as a test wants."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from sync.applying import handlers as sync_handlers
from sync.applying.draft import Draft
from sync.applying.handlers import EventHandler
from sync.events import Event, EventType


class HandlerBrokenError(Exception):
    pass


@contextmanager
def failing_handler(type: EventType, times: int | None = None) -> Iterator[None]:
    """The handler of this type fails so many times, or always, while the block runs."""
    handlers = cast("dict[EventType, EventHandler]", sync_handlers.HANDLERS)
    working = handlers[type]
    left = times

    def handler(event: Event, draft: Draft) -> None:
        nonlocal left
        working(event, draft)
        if left == 0:
            return
        if left is not None:
            left -= 1
        # The work is done when it breaks: none of that may stay.
        draft.member.state_profile({"given_name": "done for nothing"})
        raise HandlerBrokenError

    handlers[type] = handler
    try:
        yield
    finally:
        handlers[type] = working
