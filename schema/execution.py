"""From a request to its answer, whatever transport brought it.

Preparing finds the document, the operation and its variables, and whether the viewer may ask for
so much. Running takes the short way of `schema.engine.compiled` where there is one,
else graphql-core.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLResolveInfo,
    GraphQLSchema,
    OperationType,
    execute,
    get_argument_values,
    get_variable_values,
    located_error,
    subscribe,
)
from graphql.execution.values import VariableValues
from graphql.pyutils import Path
from graphql.pyutils.is_awaitable import is_awaitable as default_is_awaitable
from graphql.type import GraphQLResolveInfoHelpers
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from db.queries.viewers import Viewer
from db.vocabulary import AccessLevel
from schema.access import check_may_introspect
from schema.context import Context
from schema.engine.compiled import RootField, UnexpectedValueError
from schema.engine.documents import Document, Documents, Operation
from schema.engine.field_use import FieldUse
from schema.engine.masking import told
from schema.engine.requests import GraphQLRequest
from schema.engine.trusted_documents import KnownDocuments, is_id_of
from schema.errors import ApiError, BadUserInputError, ForbiddenError, LimitError

MAX_VARIABLE_ERRORS = 10


async def _gathered(work: Sequence[Awaitable[Any]]) -> list[Any]:
    return await asyncio.gather(*work)


_HELPERS = GraphQLResolveInfoHelpers(gather=_gathered, track=lambda _: None)


async def _together(work: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
    """The results, or the exceptions in their place. One alone needs no task of its own."""
    if len(work) > 1:
        return await asyncio.gather(*work, return_exceptions=True)
    try:
        return [await one for one in work]
    except Exception as error:  # it belongs to its field, whatever it is
        return [error]


class RequestRefusedError(Exception):
    """Nothing was executed; the errors say why, and are for the client."""

    def __init__(self, *errors: GraphQLError) -> None:
        super().__init__("; ".join(error.message for error in errors))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that may be executed."""

    document: Document
    operation: Operation
    variables: VariableValues
    given: Mapping[str, Any]
    cost: int

    @property
    def type(self) -> OperationType:
        return self.operation.type


@dataclass(frozen=True, slots=True)
class Answer:
    """As it goes on the wire. Without `data`, nothing was executed."""

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


@dataclass(frozen=True, slots=True)
class Budgets:
    """What one operation may cost. Those who see others' data look at more of it at a time."""

    own_data: int = 1_000
    others_data: int = 5_000

    def of(self, viewer: Viewer | None) -> int:
        level = AccessLevel.NONE if viewer is None else viewer.access_level
        return self.others_data if level >= AccessLevel.COORDINATOR else self.own_data


class Executor:
    """`seconds`: what takes longer is cancelled, with its statement in the database. `guarded`:
    the schema itself is not for everybody to ask for."""

    def __init__(
        self,
        schema: GraphQLSchema,
        documents: Documents,
        *,
        budgets: Budgets | None = None,
        seconds: float = 10.0,
        guarded: bool = False,
        known: KnownDocuments | None = None,
    ) -> None:
        self.field_use = FieldUse()
        self._known = known or KnownDocuments()
        self._schema = schema
        self._documents = documents
        self._budgets = budgets or Budgets()
        self._seconds = seconds
        self._guarded = guarded

    async def prepare(self, request: GraphQLRequest, context: Context) -> Prepared:
        """Raises RequestRefusedError."""
        try:
            document = self._document(request, context)
        except ApiError as error:
            raise RequestRefusedError(error) from error
        if document.errors:
            raise RequestRefusedError(*document.errors)
        try:
            operation = document.operation(request.operation_name)
            variables = self._variables(operation, request.variables)
            if self._guarded and operation.introspects:
                await check_may_introspect(context)
            cost = operation.cost.of(variables.coerced)
            await self._check_budget(cost, context)
        except ApiError as error:
            raise RequestRefusedError(error) from error
        self.field_use.note(context.client, operation.coordinates)
        return Prepared(document, operation, variables, request.variables, cost)

    def _document(self, request: GraphQLRequest, context: Context) -> Document:
        """Raises BadUserInputError or ForbiddenError."""
        if request.query is None:
            text = self._known.text(request.document_id or "")
            if text is None:
                hint = "Its manifest has to be among the known documents of this service."
                raise BadUserInputError(f"No document is known by this id. {hint}", "documentId")
            return self._documents.read(text, known=True)
        if request.document_id is not None and not is_id_of(request.document_id, request.query):
            raise BadUserInputError(
                "This is not the SHA-256 of the `query` beside it. Send one of the two.",
                "documentId",
            )
        operator = context.credentials is not None and context.credentials.operator
        if not self._known.must_be_known(operator=operator):
            return self._documents.read(request.query)
        if not self._known.knows(request.query):
            raise ForbiddenError(
                "Only known documents are executed here. Send the `documentId` of one."
            )
        return self._documents.read(request.query, known=True)

    def _variables(self, operation: Operation, given: Mapping[str, Any]) -> VariableValues:
        definitions = operation.node.variable_definitions or ()
        found = get_variable_values(
            self._schema, definitions, dict(given), max_errors=MAX_VARIABLE_ERRORS
        )
        if isinstance(found, list):
            raise RequestRefusedError(*found)
        return found

    async def _check_budget(self, cost: int, context: Context) -> None:
        """Looks the viewer up only when it matters. Raises LimitError or MemberInactiveError."""
        if cost > self._budgets.own_data:
            budget = self._budgets.of(await context.viewer())
            if cost > budget:
                raise LimitError("operation.cost", cost, budget)

    async def run(self, prepared: Prepared, context: Context) -> Answer:
        """Queries and mutations."""
        try:
            async with asyncio.timeout(self._seconds):
                data, errors = await self._run(prepared, context)
        except TimeoutError:
            # What was begun is cancelled by now, down to the statement that took so long.
            late = LimitError("operation.seconds", None, round(self._seconds))
            data, errors = None, [late]
        # By now, most operations have looked the viewer up.
        budget = self._budgets.of(context.known_viewer)
        cost = {"requested": prepared.cost, "allowed": budget}
        return Answer(told(errors, context.request_id), data, executed=True, cost=cost)

    async def stream(self, prepared: Prepared, context: Context) -> AsyncGenerator[Answer, None]:
        """Any operation: a subscription has many answers, the others one."""
        if prepared.type is not OperationType.SUBSCRIPTION:
            yield await self.run(prepared, context)
            return
        source = subscribe(
            self._schema,
            prepared.document.valid_node,
            context_value=context,
            variable_values=dict(prepared.given),
            operation_name=prepared.operation.name,
            executor_class=StrawberryGraphQLCoreExecutionContext,
            operation_extensions=None,
        )
        results = await source if isawaitable(source) else source
        if not isinstance(results, AsyncGenerator):
            yield Answer(told(_errors_of(results), context.request_id))
            return
        try:
            async with aclosing(results):
                async for result in results:
                    yield Answer(
                        told(result.errors or (), context.request_id), result.data, executed=True
                    )
        except Exception as error:
            yield Answer(told([_as_graphql(error)], context.request_id), executed=True)

    async def _run(
        self, prepared: Prepared, context: Context
    ) -> tuple[dict[str, Any] | None, list[GraphQLError]]:
        roots = prepared.operation.roots
        if roots is not None:
            try:
                return await self._run_plainly(prepared, roots, context)
            except UnexpectedValueError:
                # A query changes nothing, so it may as well be executed again.
                pass
        result = execute(
            self._schema,
            prepared.document.valid_node,
            context_value=context,
            variable_values=dict(prepared.given),
            operation_name=prepared.operation.name,
            executor_class=StrawberryGraphQLCoreExecutionContext,
            operation_extensions=None,
        )
        if isawaitable(result):
            result = await result
        return result.data, list(result.errors or ())

    async def _run_plainly(
        self, prepared: Prepared, roots: Sequence[RootField], context: Context
    ) -> tuple[dict[str, Any] | None, list[GraphQLError]]:
        """All root fields at once, as the specification has it for queries."""
        values = await _together([self._resolve(prepared, root, context) for root in roots])
        data: dict[str, Any] | None = {}
        errors: list[GraphQLError] = []
        for root, value in zip(roots, values, strict=True):
            if isinstance(value, Exception):
                errors.append(located_error(value, root.nodes, [root.key]))
                if not root.nullable:
                    data = None
                elif data is not None:
                    data[root.key] = None
            elif isinstance(value, BaseException):
                raise value
            elif data is not None:
                data[root.key] = root.complete(value)
        return data, errors

    async def _resolve(self, prepared: Prepared, root: RootField, context: Context) -> Any:
        arguments = get_argument_values(root.definition, root.nodes[0], prepared.variables)
        info = GraphQLResolveInfo(
            field_name=root.nodes[0].name.value,
            field_nodes=root.nodes,
            return_type=root.definition.type,
            parent_type=root.parent,
            path=Path(None, root.key, root.parent.name),
            schema=self._schema,
            fragments=dict(prepared.document.fragments),
            root_value=None,
            operation=prepared.operation.node,
            # As Strawberry has it, resolvers get the plain values.
            variable_values=prepared.variables.coerced,  # type: ignore[arg-type]
            context=context,
            is_awaitable=default_is_awaitable,
            abort_signal=None,
            async_helpers=_HELPERS,
        )
        value = root.call(info, arguments)
        return await value if isawaitable(value) else value


def _errors_of(result: object) -> Sequence[GraphQLError]:
    """A subscription that could not begin."""
    return (result.errors or ()) if isinstance(result, ExecutionResult) else ()


def _as_graphql(error: Exception) -> GraphQLError:
    if isinstance(error, GraphQLError):
        return error
    return GraphQLError(str(error), original_error=error)
