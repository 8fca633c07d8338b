"""Takes a request to its answers, whichever transport brought it. graphql-core executes, helped by
`schema.engine.compiled`; the service says what a request may ask for."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence, Sized
from contextlib import aclosing
from dataclasses import dataclass
from inspect import isawaitable
from time import perf_counter
from typing import Any, Generic, Protocol, TypeVar, cast

from graphql import (
    ExecutionResult,
    GraphQLEnumType,
    GraphQLError,
    GraphQLList,
    GraphQLNonNull,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLScalarType,
    GraphQLSchema,
    OperationType,
    create_source_event_stream,
    default_field_resolver,
    default_type_resolver,
    execute_root_selection_set,
    get_variable_values,
    located_error,
    map_source_to_response_event,
)
from graphql.execution.collect_fields import FieldDetailsList, FragmentDetails
from graphql.execution.values import VariableValues
from graphql.pyutils import AwaitableOrValue, Path, gather_with_cancel
from graphql.type import GraphQLResolveInfoHelpers
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from schema.engine.compiled import CompiledOperation, UnexpectedValueError
from schema.engine.documents import Document, Documents, Operation
from schema.engine.field_use import Client, FieldUse
from schema.engine.requests import GraphQLRequest
from schema.engine.stored.persisted_queries import PersistedQueries
from schema.engine.stored.trusted_documents import TrustedDocuments, digest_of, is_id_of
from schema.engine.work import Work
from schema.errors import (
    ApiError,
    BadUserInputError,
    ForbiddenError,
    LimitError,
    PersistedQueryNotFoundError,
)

MAX_VARIABLE_ERRORS = 10

C = TypeVar("C")
C_contra = TypeVar("C_contra", contravariant=True)


class Policy(Protocol[C_contra]):
    """The decisions that the engine leaves to the service. It knows nothing of the context."""

    def client(self, context: C_contra) -> Client: ...

    def requires_trusted_document(self, context: C_contra) -> bool: ...

    async def check_introspection(self, context: C_contra) -> None:
        """Raises ApiError if the schema must not be asked for."""

    def masked(
        self, errors: Iterable[GraphQLError], context: C_contra
    ) -> Sequence[GraphQLError]: ...


class RequestRefusedError(Exception):
    """Raised before anything is executed. The errors are for the client, once they are masked."""

    def __init__(self, *errors: GraphQLError) -> None:
        super().__init__("; ".join(error.message for error in errors))
        self.errors = errors


# Those of graphql-core are bound to their executor: a circle that would keep everything a request
# has read until the garbage collector finds it.
_HELPERS = GraphQLResolveInfoHelpers(
    gather=lambda work: gather_with_cancel(*work), track=lambda _: None
)


# A type that cannot be null is completed as the one that can be, and then checked; leaves have
# nothing below them.
_NOT_COMPILED = (GraphQLNonNull, GraphQLScalarType, GraphQLEnumType)


class CompilingExecutor(StrawberryGraphQLCoreExecutionContext):
    """Executes one operation as graphql-core does, completing what it can by compiled functions."""

    def __init__(
        self, *args: Any, compiled: CompiledOperation, bounds: "Bounds", **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.async_helpers = _HELPERS
        self._compiled = compiled
        self._bounds = bounds
        self.work = bounds.work()

    def build_per_event_executor(self, payload: Any) -> "CompilingExecutor":
        """Returns what executes one event of a subscription, which is work of its own."""
        executor = cast(CompilingExecutor, super().build_per_event_executor(payload))
        executor.work = self._bounds.work()
        return executor

    def complete_value(
        self,
        return_type: GraphQLOutputType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> AwaitableOrValue[Any]:
        if isinstance(return_type, _NOT_COMPILED) or result is None:
            return super().complete_value(
                return_type, field_details_list, info, path, result, position_context
            )

        def complete() -> AwaitableOrValue[Any]:
            return self._complete_composite(
                return_type, field_details_list, info, path, result, position_context
            )

        return self.work.in_turn(complete) if self.work.turn_is_over() else complete()

    def _complete_composite(
        self,
        return_type: GraphQLOutputType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> AwaitableOrValue[Any]:
        """Completes objects and lists of them."""
        nodes = [details.node for details in field_details_list]
        compiled = self._compiled.function(return_type, nodes)
        if compiled is not None:
            try:
                return compiled(result, self.work.count)
            except UnexpectedValueError:
                # graphql-core completes it again and says what is wrong.
                pass
        if isinstance(return_type, GraphQLList) and isinstance(result, Sized):
            self.work.count(result)
        return super().complete_value(
            return_type, field_details_list, info, path, result, position_context
        )


Executed = Callable[[Operation, str, float], None]
"""Is told of each query or mutation: whether it ended in `data` or `errors`, and its seconds."""


def _nobody_asks(_operation: Operation, _result: str, _seconds: float) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of one operation. `cost` is the most that its text may ask for, and the most items
    that the lists of its answer may hold; `seconds` bound a query or mutation, or one event of a
    subscription. What takes longer is cancelled, together with its statement in the database."""

    cost: int
    seconds: float

    def work(self) -> Work:
        return Work(self.cost, self.seconds)


DEFAULT_BOUNDS = Bounds(cost=5_000, seconds=10.0)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that may be executed."""

    schema: GraphQLSchema
    operation: Operation
    variables: VariableValues
    cost: int
    bounds: Bounds

    @property
    def type(self) -> OperationType:
        return self.operation.type

    def executor(self, context: object, event: object = None) -> CompilingExecutor:
        """Returns what executes the request once, or one event of a subscription.

        It keeps what it has found out, so it is not for all events of a stream.
        """
        fragments = self.operation.fragments
        return CompilingExecutor(
            schema=self.schema,
            fragment_definitions=fragments,
            fragments={name: FragmentDetails(node) for name, node in fragments.items()},
            root_value=event,
            context_value=context,
            operation=self.operation.node,
            variable_values=self.variables,
            field_resolver=default_field_resolver,
            type_resolver=default_type_resolver,
            subscribe_field_resolver=default_field_resolver,
            compiled=self.operation.compiled,
            bounds=self.bounds,
            operation_extensions=self.operation.selections,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as clients see it. If it was not executed, there are only errors."""

    errors: Sequence[GraphQLError] = ()
    data: dict[str, Any] | None = None
    executed: bool = False
    cost: dict[str, int] | None = None

    def formatted(self) -> dict[str, Any]:
        document: dict[str, Any] = {}
        if self.errors:
            document["errors"] = [error.formatted for error in self.errors]
        if self.executed:
            document["data"] = self.data
        if self.cost is not None:
            document["extensions"] = {"cost": self.cost}
        return document


class Executor(Generic[C]):
    """Executes requests within the bounds of one operation."""

    def __init__(
        self,
        schema: GraphQLSchema,
        documents: Documents,
        policy: Policy[C],
        *,
        trusted: TrustedDocuments,
        bounds: Bounds,
    ) -> None:
        self.field_use = FieldUse()
        self.executed: Executed = _nobody_asks
        self._schema = schema
        self._documents = documents
        self._policy = policy
        self._trusted = trusted
        self._persisted = PersistedQueries()
        self._bounds = bounds

    async def prepare(self, request: GraphQLRequest, context: C) -> Prepared:
        """Finds the operation and its variables. Raises RequestRefusedError."""
        try:
            document = self._document(request, context)
            if document.errors:
                raise RequestRefusedError(*document.errors)
            operation = document.operation(request.operation_name)
            variables = self._variables(operation, request.variables)
            if operation.introspects:
                await self._policy.check_introspection(context)
            cost = operation.cost.total(variables.coerced)
            if cost > self._bounds.cost:
                raise LimitError("operation.cost", cost, self._bounds.cost)
        except ApiError as error:
            raise RequestRefusedError(error) from error
        self.field_use.count(self._policy.client(context), operation.coordinates)
        return Prepared(self._schema, operation, variables, cost, self._bounds)

    def _document(self, request: GraphQLRequest, context: C) -> Document:
        """Raises BadUserInputError, ForbiddenError or PersistedQueryNotFoundError."""
        if request.query is None:
            return self._document_of_id(request, context)
        if request.document_id is not None and not is_id_of(request.document_id, request.query):
            raise BadUserInputError(
                "This is not the SHA-256 of the `query` beside it. Send one of the two.",
                "documentId",
            )
        if not self._policy.requires_trusted_document(context):
            document = self._documents.read(request.query)
            if request.persisted and not document.errors:
                self._persisted.keep(request.query)
            return document
        if request.query not in self._trusted:
            raise ForbiddenError(
                "Only trusted documents are executed here. Send the `documentId` of one."
            )
        return self._documents.read(request.query, trusted=True)

    def _document_of_id(self, request: GraphQLRequest, context: C) -> Document:
        id = request.document_id or ""
        text = self._trusted.text(id)
        if text is not None:
            return self._documents.read(text, trusted=True)
        if not request.persisted:
            raise BadUserInputError(
                "No trusted document has this id. Add its manifest to those of the service.",
                "documentId",
            )
        text = self._persisted.text(digest_of(id))
        if text is None or self._policy.requires_trusted_document(context):
            raise PersistedQueryNotFoundError
        return self._documents.read(text)

    def _variables(self, operation: Operation, given: Mapping[str, Any]) -> VariableValues:
        """Raises RequestRefusedError."""
        found = get_variable_values(
            self._schema,
            operation.node.variable_definitions or (),
            dict(given),
            max_errors=MAX_VARIABLE_ERRORS,
        )
        if isinstance(found, list):
            raise RequestRefusedError(*found)
        return found

    async def run(self, prepared: Prepared, context: C) -> Answer:
        """Executes a query or a mutation."""
        began = perf_counter()
        executor = prepared.executor(context)
        try:
            async with asyncio.timeout(prepared.bounds.seconds):
                executing = execute_root_selection_set(executor)
                result = await executing if isawaitable(executing) else executing
        except TimeoutError:
            late = LimitError("operation.seconds", None, round(prepared.bounds.seconds))
            result = ExecutionResult(None, [late])
        if executor.work.exceeded is not None:
            # One error instead of one for each list that is missing.
            result = ExecutionResult(None, [executor.work.exceeded])
        errors = self._policy.masked(result.errors or (), context)
        self.executed(prepared.operation, "errors" if errors else "data", perf_counter() - began)
        cost = {"requested": prepared.cost, "allowed": prepared.bounds.cost}
        return Answer(errors, result.data, executed=True, cost=cost)

    async def stream(self, prepared: Prepared, context: C) -> AsyncGenerator[Answer, None]:
        """Executes any operation: a subscription has many answers, the others have one."""
        if prepared.type is not OperationType.SUBSCRIPTION:
            yield await self.run(prepared, context)
            return
        executor = prepared.executor(context)
        opening = create_source_event_stream(executor)
        events = await opening if isawaitable(opening) else opening
        if isinstance(events, ExecutionResult):
            yield Answer(self._policy.masked(events.errors or (), context))
            return
        try:
            async with aclosing(map_source_to_response_event(executor, events)) as results:
                async for result in results:
                    errors = self._policy.masked(result.errors or (), context)
                    yield Answer(errors, result.data, executed=True)
        except Exception as error:  # the stream ends, and its client is told
            yield Answer(self._policy.masked([located_error(error)], context), executed=True)
