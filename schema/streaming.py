"""Begins streams, executes what they select on one message after the other, and writes it."""

from collections.abc import Callable, Hashable
from inspect import isawaitable
from typing import Any, Generic, TypeVar

import msgspec
from graphql import (
    ExecutionResult,
    Undefined,
    execute_subscription_event,
    get_named_type,
    located_error,
)

from db.errors import DatabaseUnavailableError
from db.feed.changes import Cursor
from resolvers.live.stream_messages import ChangeMessage, Heartbeat, Resync
from resolvers.live.stream_start import StreamStart, stream_start
from resolvers.live.subscribers import Rendered
from schema.access import required
from schema.context import Context
from schema.engine.executor import Prepared
from schema.engine.masking import masked
from schema.types.opaque import change_cursor

V = TypeVar("V")

CURSOR_SCALAR = "ChangeCursor"


class SelectionRenderer(Generic[V]):
    """`typed`: makes of a message what the field of the subscription says it sends."""

    def __init__(
        self,
        prepared: Prepared,
        context: Context,
        typed: Callable[[Heartbeat | Resync | ChangeMessage[V]], Any],
    ) -> None:
        self._prepared = prepared
        self._context = context
        self._typed = typed

    async def render(self, message: Heartbeat | Resync | ChangeMessage[V]) -> Rendered:
        """Raises DatabaseUnavailableError."""
        event = self._typed(message)
        if isawaitable(event):
            event = await event
        result = execute_subscription_event(self._prepared.executor(self._context, event))
        if isawaitable(result):
            result = await result
        return Rendered(change_cursor(message.cursor), _payload(result, self._context.request_id))

    def failure(self, error: Exception) -> bytes:
        return failure(error, self._context.request_id)


async def stream_begin(context: Context, cursor: Cursor | None) -> StreamStart:
    """Finds the viewer and the place to begin at, in one snapshot of the database.

    Raises UnauthenticatedError or MemberInactiveError.
    """
    # An operator is not looked up, so without a cursor there is only one statement.
    is_operator = context.credentials is not None and context.credentials.operator
    snapshot = cursor is not None or (context.credentials is not None and not is_operator)
    async with context.database.read(snapshot=snapshot) as session:
        viewer = required(context.admitted(await context.current_viewer(session)))
        return await stream_start(session, viewer, cursor)


def failure(error: Exception, request_id: str) -> bytes:
    """Returns the list of errors that a client is sent in place of a result."""
    return msgspec.json.encode([e.formatted for e in masked([located_error(error)], request_id)])


def _payload(result: ExecutionResult, request_id: str) -> bytes:
    if not result.errors:
        return msgspec.json.encode({"data": result.data})
    for error in result.errors:
        if isinstance(error.original_error, DatabaseUnavailableError):
            # It can be done later, and then whole.
            raise error.original_error
    errors = [error.formatted for error in masked(result.errors, request_id)]
    return msgspec.json.encode({"data": result.data, "errors": errors})


def text_key(prepared: Prepared) -> Hashable:
    """Returns the same key for operations that answer the same to the same message.

    Documents are read once, so the same text is the same operation. Where each subscriber begins
    is no part of what they are sent, nor is what the document does not ask for.
    """
    given = {
        name: source.value
        for name, source in prepared.variables.sources.items()
        if source.value is not Undefined
        and get_named_type(source.signature.type).name != CURSOR_SCALAR
    }
    return (prepared.operation, msgspec.json.encode(given, order="deterministic"))
