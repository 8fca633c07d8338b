"""Gives every request an id, the caller's own if it sent one, shown in the answer and the log."""

import re
from contextvars import ContextVar

from starlette.types import Scope

from schema.context import new_request_id

HEADER = b"x-request-id"

current_request_id: ContextVar[str | None] = ContextVar("request id", default=None)
"""The id of the request that is being answered, for the log."""

_KEY = "likeperson_request_id"
# Nothing that would have to be escaped in a header or a log line.
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{1,64}")


def identify(scope: Scope) -> str:
    """Gives the request its id, for the log and for all who answer it; returns the id."""
    request_id = scope[_KEY] = _request_id_for(scope)
    current_request_id.set(request_id)
    return request_id


def _request_id_for(scope: Scope) -> str:
    """Returns the id that the caller sent, or a new one when it sent none that is acceptable."""
    for name, value in scope["headers"]:
        if name == HEADER:
            given: str = value.decode("latin-1")
            return given if _ACCEPTABLE.fullmatch(given) else new_request_id()
    return new_request_id()


def request_id_of(scope: Scope) -> str:
    found: str = scope[_KEY]
    return found
