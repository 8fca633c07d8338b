"""What clients get to see of errors: what they can act on, word for word; of surprises, only that
there was one. Every error carries a code, and the id under which the log has more of it."""

import logging
from collections.abc import Iterable
from typing import Any

from graphql import GraphQLError

from schema.errors import ApiError, BadRequestError

logger = logging.getLogger(__name__)

SURPRISE = "Something went wrong here. Try again later."


def is_surprise(error: GraphQLError) -> bool:
    """Whether it came from inside, rather than from what the client sent."""
    cause = error.original_error
    if cause is None or isinstance(cause, GraphQLError):
        return False
    # Before a field was reached, only a scalar that could not read its value raises these; then it
    # is told where in the document or its variables that stands.
    in_document = error.path is None and error.nodes is not None
    return not (in_document and isinstance(cause, ValueError | TypeError))


def log_surprise(error: GraphQLError, request_id: str) -> None:
    """Once, and nowhere else."""
    logger.error("Request %s: a field failed: %s", request_id, error.path, exc_info=_cause(error))


def _cause(error: GraphQLError) -> BaseException | None:
    return error.original_error


def for_client(error: GraphQLError, request_id: str) -> GraphQLError:
    """Another error: one that belongs to a document is shared by everybody who sends it."""
    surprise = is_surprise(error)
    extensions: dict[str, Any] = {"code": ApiError.code if surprise else BadRequestError.code}
    if not surprise:
        extensions |= error.extensions or {}
    return GraphQLError(
        # It may quote what was sent, and half a character cannot be sent back.
        SURPRISE if surprise else error.message.encode("utf-8", "backslashreplace").decode(),
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions={**extensions, "requestId": request_id},
    )


def told(errors: Iterable[GraphQLError], request_id: str) -> list[GraphQLError]:
    """As the client shall see them. Surprises are logged here, and nowhere else."""
    known = []
    for error in errors:
        if is_surprise(error):
            log_surprise(error, request_id)
        known.append(for_client(error, request_id))
    return known
