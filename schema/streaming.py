"""What a subscription selects, executed on one message after the other and written as bytes."""

from collections.abc import Callable, Hashable, Mapping
from inspect import isawaitable
from typing import Any, Generic, TypeVar

import msgspec
from graphql import DocumentNode, ExecutionResult, GraphQLError
from graphql.execution import Executor, execute_subscription_event

from db.errors import DatabaseUnavailableError
from resolvers.live.messages import ChangeMessage, Heartbeat, Resync
from resolvers.live.subscribers import Rendered
from schema.context import Context, Info
from schema.engine.compiled import UnexpectedValueError, root_fields
from schema.engine.masking import told
from schema.types.opaque import change_cursor

V = TypeVar("V")

CURSOR_SCALAR = "ChangeCursor"


class SelectionRenderer(Generic[V]):
    """`typed` makes of a message what the subscription's field says it sends."""

    def __init__(
        self,
        info: Info,
        context: Context,
        typed: Callable[[Heartbeat | Resync | ChangeMessage[V]], Any],
    ) -> None:
        raw = info._raw_info  # noqa: SLF001  (what is executed anew is not told elsewhere)
        executor = Executor.build(
            raw.schema,
            DocumentNode(definitions=(raw.operation, *raw.fragments.values())),
            context_value=context,
            raw_variable_values=dict(context.variables),
        )
        if not isinstance(executor, Executor):
            raise executor[0]
        self._executor = executor
        self._plain = root_fields(raw.schema, raw.fragments, raw.operation)
        self._request_id = context.request_id
        self._typed = typed

    async def render(self, message: Heartbeat | Resync | ChangeMessage[V]) -> Rendered:
        event = self._typed(message)
        if isawaitable(event):
            event = await event
        return Rendered(change_cursor(message.cursor), await self._answer(event))

    async def _answer(self, event: object) -> bytes:
        if self._plain is not None:
            try:
                data = {root.key: root.complete(event) for root in self._plain}
                return msgspec.json.encode({"data": data})
            except UnexpectedValueError:
                # graphql-core says what is wrong with it.
                pass
        result = execute_subscription_event(self._executor.build_per_event_executor(event))
        if isawaitable(result):
            result = await result
        return _payload(result, self._request_id)

    def failure(self, error: Exception) -> bytes:
        return failure(error, self._request_id)


def failure(error: Exception, request_id: str) -> bytes:
    """The list of errors that a client is sent in place of a result."""
    found = (
        error
        if isinstance(error, GraphQLError)
        else GraphQLError("It failed.", original_error=error)
    )
    return msgspec.json.encode([e.formatted for e in told([found], request_id)])


def _payload(result: ExecutionResult, request_id: str) -> bytes:
    if not result.errors:
        return msgspec.json.encode({"data": result.data})
    for error in result.errors:
        if isinstance(error.original_error, DatabaseUnavailableError):
            # It can be done later, and then whole.
            raise error.original_error
    errors = [error.formatted for error in told(result.errors, request_id)]
    return msgspec.json.encode({"data": result.data, "errors": errors})


def text_key(info: Info, variables: Mapping[str, Any]) -> Hashable:
    """Equal for operations that answer the same to the same message.

    Documents are parsed once, so the same text is the same node. Where each subscriber begins is
    no part of what they are sent, nor is what the document does not ask for.
    """
    operation = info._raw_info.operation  # noqa: SLF001  (see above)
    names = [
        definition.variable.name.value
        for definition in operation.variable_definitions or ()
        if _named(definition.type) != CURSOR_SCALAR
    ]
    given = {name: variables[name] for name in names if name in variables}
    return (id(operation), msgspec.json.encode(given, order="deterministic"))


def _named(type: Any) -> str:
    while hasattr(type, "type"):
        type = type.type
    name: str = type.name.value
    return name
