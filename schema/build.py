"""Puts the schema together. Built once: its caches of parsed and validated documents live on it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import strawberry
from graphql import GraphQLError
from strawberry.exceptions import MissingQueryError
from strawberry.extensions import MaskErrors, ParserCache, SchemaExtension, ValidationCache
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.graphql import OperationType

from schema.context import Context
from schema.errors import ApiError
from schema.live import Subscription
from schema.mutations import Mutation
from schema.nodes import Member, Organization, Role, SyncLogEntry
from schema.queries import Query
from schema.scalars import SCALARS

logger = logging.getLogger(__name__)

DOCUMENT_CACHE = 500
REQUEST_ERRORS = (
    GraphQLError,
    MissingQueryError,
    CannotGetOperationTypeError,
    InvalidOperationTypeError,
)


class Schema(strawberry.Schema):
    """Gives every operation a context of its own: the operations of a socket share one."""

    async def execute(self, query: str | None, *args: Any, **kwargs: Any) -> Any:
        """Queries and mutations; a subscription needs a stream to answer in."""
        allowed = kwargs.pop("allowed_operation_types", None) or set(OperationType)
        kwargs["allowed_operation_types"] = set(allowed) - {OperationType.SUBSCRIPTION}
        return await super().execute(query, *args, **_own_context(kwargs))

    async def stream(self, query: str | None, *args: Any, **kwargs: Any) -> Any:
        return await super().stream(query, *args, **_own_context(kwargs))

    def process_errors(self, errors: list[GraphQLError], execution_context: Any = None) -> None:
        """Logs surprises, once and here; what clients can act on is theirs to see."""
        for error in errors:
            if is_surprise(error):
                logger.error("A field failed: %s", error.path, exc_info=error.original_error)


def _own_context(kwargs: dict[str, Any]) -> dict[str, Any]:
    context = kwargs.get("context_value")
    if isinstance(context, Context):
        kwargs["context_value"] = context.for_operation()
    return kwargs


def is_surprise(error: GraphQLError) -> bool:
    """Whether it came from inside, rather than from what the client sent."""
    cause = error.original_error
    if cause is None or isinstance(cause, REQUEST_ERRORS):
        return False
    # Before a field was reached, only a scalar that could not read its value raises these.
    return error.path is not None or not isinstance(cause, ValueError | TypeError)


class MaskSurprises(MaskErrors):
    def __init__(self) -> None:
        super().__init__(is_surprise, "Something went wrong here. Try again later.")

    def anonymise_error(self, error: GraphQLError) -> GraphQLError:
        masked = super().anonymise_error(error)
        masked.extensions = {"code": ApiError.code}
        return masked


class DocumentCache(ParserCache):
    """What cannot be parsed is left to the schema: an error raised here would end the socket."""

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        with suppress(GraphQLError):
            context.graphql_document = self.cached_parse_document(
                context.query, **context.parse_options
            )
        yield


def build_schema() -> Schema:
    extensions: list[type[SchemaExtension] | Callable[[], SchemaExtension]] = [
        MaskSurprises,
        lambda: DocumentCache(maxsize=DOCUMENT_CACHE),
        lambda: ValidationCache(maxsize=DOCUMENT_CACHE),
    ]
    return Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[Member, Organization, Role, SyncLogEntry],
        extensions=extensions,
        config=StrawberryConfig(scalar_map=SCALARS),
    )
