"""Reads what clients send, whichever transport brings it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from schema.errors import BadRequestError

_APOLLO = "persistedQuery"


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """The text of a document, or the id of a trusted one, or both.

    `persisted`: the id was sent as Apollo's persisted queries are, whose clients send the text
    again when it is not known.
    """

    query: str | None = None
    document_id: str | None = None
    persisted: bool = False
    variables: Mapping[str, Any] = field(default_factory=dict)
    operation_name: str | None = None


def read_json(text: str | bytes) -> Any:
    """Raises ValueError or RecursionError."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        # Python's reader lets half a character pass; the argument it stands in is then refused.
        return json.loads(text)


def read_request(given: Mapping[str, Any]) -> GraphQLRequest:
    """Reads the object in the body of a POST or in a `subscribe` message. Raises BadRequestError.

    The id may stand beside the query, in the extensions, or where Apollo's clients put it.
    """
    query = _optional(given, "query", str, "text")
    extensions: Mapping[str, Any] = _optional(given, "extensions", dict, "an object") or {}
    document_id = _optional(given, "documentId", str, "text") or _optional(
        extensions, "documentId", str, "text"
    )
    persisted_id = None if document_id else _apollo_id(extensions)
    document_id = document_id or persisted_id
    if not query and not document_id:
        raise BadRequestError(
            "Send a GraphQL document as `query`, or the id of a trusted one as `documentId`."
        )
    return GraphQLRequest(
        query=query or None,
        document_id=document_id,
        persisted=bool(persisted_id),
        variables=_optional(given, "variables", dict, "an object") or {},
        operation_name=_optional(given, "operationName", str, "text") or None,
    )


def _apollo_id(extensions: Mapping[str, Any]) -> str | None:
    persisted = _optional(extensions, _APOLLO, dict, "an object") or {}
    found: str | None = _optional(persisted, "sha256Hash", str, "text")
    return found


def _optional(given: Mapping[str, Any], name: str, type: type, what: str) -> Any:
    value = given.get(name)
    if value is not None and not isinstance(value, type):
        raise BadRequestError(f"`{name}` must be {what}.", argument=name)
    return value
