"""The results of an operation in JSON, for transports that can send several."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import msgspec
from graphql import GraphQLError, OperationType

from schema.context import Context
from schema.engine.executor import Executor, RequestRefusedError
from schema.engine.masking import for_client
from schema.engine.requests import GraphQLRequest
from schema.errors import BadRequestError


@dataclass(frozen=True, slots=True)
class RequestErrors:
    """The errors, in JSON, of a request that could not be executed at all."""

    errors: bytes


Results = AsyncGenerator[bytes | RequestErrors, None]


async def answers(
    executor: Executor[Context],
    request: GraphQLRequest,
    context: Context,
    *,
    may_change: bool = True,
) -> Results:
    """Yields the results in JSON as they come, or RequestErrors alone.

    The messages of a subscription follow through the sink of its context.
    """
    context = context.for_operation()
    try:
        prepared = await executor.prepare(request, context)
        context.prepared = prepared
    except RequestRefusedError as refused:
        yield request_errors(refused.errors, context.request_id)
        return
    if prepared.type is OperationType.MUTATION and not may_change:
        error = BadRequestError("Mutations cannot be sent by GET. Use POST.")
        yield request_errors((error,), context.request_id)
        return
    async with aclosing(executor.stream(prepared, context)) as stream:
        async for answer in stream:
            if not answer.executed:
                yield RequestErrors(
                    msgspec.json.encode([error.formatted for error in answer.errors])
                )
                return
            yield msgspec.json.encode(answer.formatted())


def request_errors(errors: tuple[GraphQLError, ...], request_id: str) -> RequestErrors:
    return RequestErrors(
        msgspec.json.encode([for_client(error, request_id).formatted for error in errors])
    )
