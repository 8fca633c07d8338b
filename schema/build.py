"""Puts the schema together, with what reads and executes documents for it. Built once."""

from collections.abc import AsyncGenerator
from typing import Any

import strawberry
from strawberry.schema.config import StrawberryConfig
from strawberry.types.execution import ExecutionResult, PreExecutionError

from schema.context import Context
from schema.cost import CostDirective, ListSizeDirective
from schema.documents import Documents
from schema.execution import Budgets, Executor, RequestRefusedError
from schema.live import Subscription
from schema.masking import for_client
from schema.mutations import Mutation
from schema.nodes import Member, Organization, Role, SyncLogEntry
from schema.queries import Query
from schema.requests import GraphQLRequest
from schema.scalars import SCALARS


class Schema(strawberry.Schema):
    """Strawberry's types; documents are executed by `executor`, over whatever transport."""

    def __init__(self, *, budgets: Budgets | None = None, seconds: float = 10.0) -> None:
        super().__init__(
            query=Query,
            mutation=Mutation,
            subscription=Subscription,
            types=[Member, Organization, Role, SyncLogEntry],
            schema_directives=[CostDirective, ListSizeDirective],
            config=StrawberryConfig(scalar_map=SCALARS),
        )
        self.documents = Documents(self._schema)
        self.executor = Executor(self._schema, self.documents, budgets=budgets, seconds=seconds)

    async def stream(self, query: str | None, *_: Any, **given: Any) -> Any:
        """What Strawberry's handler of sockets calls."""
        request = GraphQLRequest(
            query=query,
            variables=given.get("variable_values") or {},
            operation_name=given.get("operation_name"),
        )
        return self._results(request, given["context_value"])

    async def _results(
        self, request: GraphQLRequest, context: Context
    ) -> AsyncGenerator[ExecutionResult, None]:
        # The operations of a socket share a context, and none may see the viewer of the one before.
        context = context.for_operation()
        try:
            prepared = await self.executor.prepare(request, context)
        except RequestRefusedError as refused:
            errors = [for_client(error, context.request_id) for error in refused.errors]
            yield PreExecutionError(data=None, errors=errors)
            return
        async for answer in self.executor.stream(prepared, context):
            kind = ExecutionResult if answer.executed else PreExecutionError
            yield kind(data=answer.data, errors=list(answer.errors) or None)


def build_schema() -> Schema:
    return Schema()
