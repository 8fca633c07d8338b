"""Error answers as RFC 9457 problem documents: what is wrong and what to do, without internals."""

from http import HTTPStatus

import msgspec
from starlette.responses import Response

RETRY_AFTER_SECONDS = 5


def problem(status: HTTPStatus, detail: str | None = None, **members: str | None) -> Response:
    """Returns an answer with this status. A 503 gets a `Retry-After` header."""
    document = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        **({"detail": detail} if detail else {}),
        **{name: value for name, value in members.items() if value is not None},
    }
    headers = {}
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return Response(
        msgspec.json.encode(document),
        status_code=status.value,
        media_type="application/problem+json",
        headers=headers,
    )


def too_slow() -> Response:
    """Returns a 408 that closes the connection: the rest of the body must not be read as the next
    request."""
    response = problem(HTTPStatus.REQUEST_TIMEOUT, "The body did not arrive in time.")
    response.headers["Connection"] = "close"
    return response
