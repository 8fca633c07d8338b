"""Masks errors for clients: they see word for word what they can act on, and of unexpected errors
only that there was one. Every error carries a code, and the request id under which the log has
more."""

import logging
from collections.abc import Iterable
from typing import Any

from graphql import GraphQLError

from schema.errors import ApiError, BadRequestError

logger = logging.getLogger(__name__)

UNEXPECTED = "Something went wrong here. Try again later."


def is_unexpected(error: GraphQLError) -> bool:
    """Tells whether the error came from inside, rather than from what the client sent."""
    cause = error.original_error
    if cause is None or isinstance(cause, GraphQLError):
        return False
    # Before a field is reached, only a scalar that cannot read its value raises these; graphql-core
    # then says where in the document or its variables that stands.
    in_document = error.path is None and error.nodes is not None
    return not (in_document and isinstance(cause, ValueError | TypeError))


def masked(errors: Iterable[GraphQLError], request_id: str) -> list[GraphQLError]:
    """Returns the errors as the client may see them, and logs the unexpected ones."""
    found = []
    for error in errors:
        if is_unexpected(error):
            cause = error.original_error
            logger.error("Request %s: a field failed: %s", request_id, error.path, exc_info=cause)
        found.append(for_client(error, request_id))
    return found


def for_client(error: GraphQLError, request_id: str) -> GraphQLError:
    """Returns a copy, since an error of a document is shared by everybody who sends it."""
    unexpected = is_unexpected(error)
    extensions: dict[str, Any] = {"code": ApiError.code if unexpected else BadRequestError.code}
    if not unexpected:
        extensions |= error.extensions or {}
    return GraphQLError(
        # It may quote what was sent, and half a character cannot be sent back.
        UNEXPECTED if unexpected else error.message.encode("utf-8", "backslashreplace").decode(),
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions={**extensions, "requestId": request_id},
    )
