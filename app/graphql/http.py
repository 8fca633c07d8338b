"""GraphQL over HTTP: queries and mutations, one answer per request."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from graphql import GraphQLError, OperationType
from starlette.responses import Response
from starlette.types import Receive, Scope

from app.graphql.sse import EVENT_STREAM
from db.errors import DatabaseUnavailableError
from schema.context import Context
from schema.engine.executor import Executor, Prepared, RequestRefusedError
from schema.engine.masking import UNEXPECTED, for_client
from schema.engine.requests import GraphQLRequest, read_json, read_request
from schema.errors import ApiError, BadRequestError, LimitError
from sync.intake.problems import RETRY_AFTER_SECONDS

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"
_ACCEPTABLE = (GRAPHQL_RESPONSE, JSON, EVENT_STREAM, "application/*", "*/*")
MAX_BODY_BYTES = 128 * 1024

_WITHOUT_A_BODY = ("GET", "HEAD")
_encoder = msgspec.json.Encoder()


class HttpError(Exception):
    """Ends a request with this status and error before anything is executed."""

    def __init__(self, status: HTTPStatus, error: GraphQLError, **headers: str) -> None:
        super().__init__(error.message)
        self.status = status
        self.error = error
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


async def answer_http(
    scope: Scope,
    receive: Receive,
    headers: Mapping[str, str],
    executor: Executor[Context],
    context: Context,
) -> Response:
    """Returns the answer, which a GraphQL client can read whatever was sent."""
    media_type = answer_media_type(headers)
    try:
        request = await read_http_request(scope, receive, headers)
        prepared = await executor.prepare(request, context)
        _check_method(scope["method"], prepared)
    except HttpError as refused:
        return error_response(
            refused.status, [refused.error], context.request_id, media_type, refused
        )
    except RequestRefusedError as refused:
        # Clients that ask for plain JSON expect 200, as before the other type existed.
        status = HTTPStatus.OK if media_type == JSON else HTTPStatus.BAD_REQUEST
        return error_response(status, refused.errors, context.request_id, media_type)
    except DatabaseUnavailableError:
        return database_unreachable(context.request_id, media_type)
    answer = await executor.run(prepared, context)
    response = _respond(HTTPStatus.OK, answer.formatted(), media_type)
    if request.query is None and scope["method"] in _WITHOUT_A_BODY and not answer.errors:
        _tag(response, headers)
    return response


def _tag(response: Response, headers: Mapping[str, str]) -> None:
    """Adds an ETag, or answers 304 when the client already has this answer."""
    tag = f'"{hashlib.sha256(bytes(response.body)).hexdigest()[:32]}"'
    response.headers["ETag"] = tag
    # Only the client itself may keep it, and not for another user of the same device.
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Vary"] = "Authorization, Accept"
    known = {
        part.strip().removeprefix("W/") for part in headers.get("if-none-match", "").split(",")
    }
    if tag in known or "*" in known:
        response.status_code = HTTPStatus.NOT_MODIFIED
        response.body = b""
        del response.headers["content-length"]
        del response.headers["content-type"]


def headers_of(scope: Scope) -> Mapping[str, str]:
    """Returns the headers of a request by their names; the first of several of one name."""
    pairs = reversed(scope["headers"])
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}


async def read_http_request(
    scope: Scope, receive: Receive, headers: Mapping[str, str]
) -> GraphQLRequest:
    """Returns the GraphQL request. Raises HttpError."""
    if scope["method"] in _WITHOUT_A_BODY:
        given = _parameters(scope["query_string"])
    else:
        _check_content_type(headers)
        given = _decoded(await _body(receive, headers))
    try:
        return read_request(given)
    except ApiError as error:
        raise HttpError(HTTPStatus.BAD_REQUEST, error) from error


def error_response(
    status: HTTPStatus,
    errors: Any,
    request_id: str,
    media_type: str = JSON,
    refused: HttpError | None = None,
) -> Response:
    """Returns an answer without data, because nothing was executed."""
    document = {"errors": [for_client(error, request_id).formatted for error in errors]}
    return _respond(status, document, media_type, refused.headers if refused else None)


def database_unreachable(request_id: str, media_type: str = JSON) -> Response:
    """Returns a 503: without the database the viewer cannot be known."""
    error = ApiError(UNEXPECTED)
    response = error_response(HTTPStatus.SERVICE_UNAVAILABLE, [error], request_id, media_type)
    response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _respond(
    status: HTTPStatus,
    document: Mapping[str, Any],
    media_type: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    return Response(_encoder.encode(document), status, headers, f"{media_type}; charset=utf-8")


def _check_method(method: str, prepared: Prepared) -> None:
    if prepared.type is OperationType.SUBSCRIPTION:
        text = "Subscriptions need a stream. Use a WebSocket or server-sent events."
        raise HttpError(HTTPStatus.BAD_REQUEST, BadRequestError(text))
    if method != "POST" and prepared.type is not OperationType.QUERY:
        error = BadRequestError("Mutations and subscriptions cannot be sent by GET. Use POST.")
        raise HttpError(HTTPStatus.METHOD_NOT_ALLOWED, error, allow="POST")


def _check_content_type(headers: Mapping[str, str]) -> None:
    media_type, *parameters = headers.get("content-type", "").lower().split(";")
    charsets = [p.partition("=")[2].strip(' "') for p in parameters if "charset" in p]
    if media_type.strip() != JSON or any(charset not in ("utf-8", "utf8") for charset in charsets):
        error = BadRequestError("The request must be `Content-Type: application/json`, in UTF-8.")
        raise HttpError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, error)
    if headers.get("content-encoding", "").strip().lower() not in ("", "identity"):
        # What it unpacks to would have no limit.
        error = BadRequestError("Send the body without compression.")
        raise HttpError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, error, accept_encoding="identity")


async def _body(receive: Receive, headers: Mapping[str, str]) -> bytes:
    """Returns the body, counted while it arrives. If announced as too large, it is not read."""
    with suppress(ValueError):
        _check_size(int(headers.get("content-length", "0")))
    chunks = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HttpError(
                HTTPStatus.BAD_REQUEST,
                BadRequestError("The body did not arrive completely."),
            )
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        _check_size(size)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


def _check_size(size: int) -> None:
    if size > MAX_BODY_BYTES:
        error = LimitError("request.bytes", size, MAX_BODY_BYTES)
        raise HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, error)


def _parameters(query_string: bytes) -> dict[str, Any]:
    pairs = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)
    given: dict[str, Any] = dict(pairs)
    for name in ("variables", "extensions"):
        if name in given:
            given[name] = _json(given[name].encode() or b"null", f"`{name}`")
    return given


def _decoded(body: bytes) -> dict[str, Any]:
    given = _json(body, "The body")
    if isinstance(given, dict):
        return given
    raise HttpError(
        HTTPStatus.BAD_REQUEST,
        BadRequestError(
            "The body must be one JSON object. Batches are not supported: select several fields in "
            "one document."
        ),
    )


def _json(text: bytes, what: str) -> Any:
    try:
        return read_json(text)
    except (ValueError, RecursionError) as error:
        raise HttpError(HTTPStatus.BAD_REQUEST, BadRequestError(f"{what} is not JSON.")) from error


def answer_media_type(headers: Mapping[str, str]) -> str:
    """Returns the media type of an answer that is not a stream."""
    return GRAPHQL_RESPONSE if preferred_media_type(headers) == GRAPHQL_RESPONSE else JSON


def preferred_media_type(headers: Mapping[str, str]) -> str:
    """Returns the supported media type with the highest q in `Accept`; the first of equals."""
    best, best_quality = "", 0.0
    for part in headers.get("accept", "").split(","):
        media_type, *parameters = (text.strip() for text in part.lower().split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                with suppress(ValueError):
                    quality = float(parameter.removeprefix("q="))
        if media_type in _ACCEPTABLE and quality > best_quality:
            best, best_quality = media_type, quality
    return best
