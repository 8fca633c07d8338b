"""The answers to an operation, as bytes, for transports that can send several."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import msgspec
from graphql import GraphQLError, OperationType

from schema.context import Context
from schema.engine.masking import for_client
from schema.engine.requests import GraphQLRequest
from schema.errors import BadRequestError
from schema.execution import Executor, RequestRefusedError


@dataclass(frozen=True, slots=True)
class Refusal:
    """The operation cannot be executed at all: these are its errors, in JSON."""

    errors: bytes


Results = AsyncGenerator[bytes | Refusal, None]


async def answers(
    executor: Executor, request: GraphQLRequest, context: Context, *, may_change: bool = True
) -> Results:
    """The results as they come, in JSON; a Refusal comes alone.

    Those of a subscription go on through the outlet of its context, once these have ended.
    """
    context = context.for_operation(request.variables)
    try:
        prepared = await executor.prepare(request, context)
    except RequestRefusedError as refused:
        yield refusal(refused.errors, context.request_id)
        return
    if prepared.type is OperationType.MUTATION and not may_change:
        error = BadRequestError("Send what changes something by POST.")
        yield refusal((error,), context.request_id)
        return
    async with aclosing(executor.stream(prepared, context)) as stream:
        async for answer in stream:
            if not answer.executed:
                yield Refusal(msgspec.json.encode([error.formatted for error in answer.errors]))
                return
            yield msgspec.json.encode(answer.formatted())


def refusal(errors: tuple[GraphQLError, ...], request_id: str) -> Refusal:
    return Refusal(
        msgspec.json.encode([for_client(error, request_id).formatted for error in errors])
    )
