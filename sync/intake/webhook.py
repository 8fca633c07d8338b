"""Answers `POST /webhooks/{source}`: reads the body up to the limit, verifies it, has it recorded.

Before a delivery is authenticated, nothing is stored and the database is not used.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Protocol
from urllib.parse import parse_qs

import msgspec
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive

from db.errors import DatabaseUnavailableError
from db.vocabulary import SyncStatus
from sync.errors import OverloadedError, VerificationError
from sync.intake.problems import problem, too_slow
from sync.intake.sources import CODE, Headers, Source
from sync.recording.deliveries import Delivery, Receipt

logger = logging.getLogger(__name__)

RawHeaders = Sequence[tuple[bytes, bytes]]
"""Headers in the order of the request; the names are in lower case."""


# The status that needs most attention comes last.
_BY_ATTENTION = (
    SyncStatus.SUCCESS,
    SyncStatus.SKIPPED,
    SyncStatus.PENDING,
    SyncStatus.FAILED,
    SyncStatus.DEAD,
    SyncStatus.REJECTED,
)


class Submit(Protocol):
    def __call__(self, delivery: Delivery) -> Awaitable[Receipt]: ...


class Observer(Protocol):
    """Counts answers, for the metrics."""

    def answered(self, source: str, status: int, receipt: Receipt | None) -> None: ...


OnRefusal = Callable[[str, VerificationError], None]
"""Told of each refused delivery, with the name of its source."""


class TooLargeError(Exception):
    pass


class TooSlowError(Exception):
    pass


class WebhookRoute:
    """Answers the deliveries of all configured sources."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        submit: Submit,
        clock: Callable[[], datetime],
        observer: Observer,
        on_refusal: OnRefusal,
        *,
        max_bytes: int,
    ) -> None:
        self._sources = sources
        self._submit = submit
        self._clock = clock
        self._observer = observer
        self._on_refusal = on_refusal
        self._max_bytes = max_bytes

    async def respond(
        self, name: str, headers: RawHeaders, query: bytes, receive: Receive
    ) -> Response:
        """Returns the answer to a delivery of the source. `receive` raises TimeoutError when the
        body takes too long."""
        source = self._sources.get(name)
        if source is None:
            return problem(HTTPStatus.NOT_FOUND, "There is no source of this name.")
        response, receipt = await self._answer(source, _by_name(headers, query), receive)
        self._observer.answered(source.name, response.status_code, receipt)
        return response

    def consent(self, name: str, headers: RawHeaders, query: bytes) -> Response | None:
        """Returns the answer to `OPTIONS`: whether the sender may send. None if that is not how
        this source asks, or nothing is asked."""
        source = self._sources.get(name)
        if source is None or source.handshake is None:
            return None
        given = _by_name(headers, query)
        response = source.handshake.consent(given)
        if response is None:
            return None
        try:
            source.verifier.verify(given, b"", self._clock())
        except VerificationError as error:
            self._on_refusal(source.name, error)
            response = problem(HTTPStatus.UNAUTHORIZED)
        self._observer.answered(source.name, response.status_code, None)
        return response

    async def _answer(
        self, source: Source, headers: Headers, receive: Receive
    ) -> tuple[Response, Receipt | None]:
        if not source.repeats_only_503 and (refusal := _unsupported(headers)):
            return refusal, None
        try:
            body = await self._body(receive)
            now = self._clock()
            event_id = source.verifier.verify(headers, body, now)
            if source.handshake and (asked := source.handshake.validation(headers, body)):
                return asked, None
            deliveries = source.reader(source.name, event_id, now, headers, body)
            if len(deliveries) == 1:
                event_id = deliveries[0].event_id
            receipt = await self._recorded(deliveries)
        except TooLargeError:
            text = f"The body has more than {self._max_bytes} bytes, which is the limit."
            return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text), None
        except TooSlowError:
            if source.repeats_only_503:
                return problem(HTTPStatus.SERVICE_UNAVAILABLE, "The body did not arrive."), None
            return too_slow(), None
        except ClientDisconnect:
            # The sender is gone and cannot read the answer.
            return problem(HTTPStatus.BAD_REQUEST, "The connection ended before the body."), None
        except VerificationError as error:
            self._on_refusal(source.name, error)
            return problem(HTTPStatus.UNAUTHORIZED), None
        except OverloadedError:
            # Not logged, since a flood would fill the log. The metrics count it.
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "Try again in a few seconds."), None
        except DatabaseUnavailableError as error:
            logger.warning("A delivery of %s was refused: %s", source.name, type(error).__name__)
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "Try again in a few seconds."), None
        except asyncio.CancelledError:
            # The server is stopping and no longer waits. The delivery may still be recorded.
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "The service is stopping."), None
        except Exception:
            # Senders repeat only after 502, 503 and 504, so an unexpected error is no 500.
            logger.exception("A delivery of %s could not be recorded.", source.name)
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "Try again in a few seconds."), None
        return answer(event_id, receipt, final=source.repeats_only_503), receipt

    async def _recorded(self, deliveries: Sequence[Delivery]) -> Receipt:
        """Has the deliveries of one body recorded; returns the receipt that needs most attention.

        A body without any is a handshake, of which nothing is recorded."""
        if len(deliveries) == 1:
            return await self._submit(deliveries[0])
        receipts = await asyncio.gather(*map(self._submit, deliveries))
        return max(receipts, key=_attention, default=Receipt(SyncStatus.SUCCESS))

    async def _body(self, receive: Receive) -> bytes:
        """Reads the body and counts its bytes, since Content-Length may be wrong."""
        chunks: list[bytes] = []
        size = 0
        while True:
            try:
                message = await receive()
            except TimeoutError as error:
                raise TooSlowError from error
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > self._max_bytes:
                raise TooLargeError
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)


def _attention(receipt: Receipt) -> int:
    return _BY_ATTENTION.index(receipt.status)


def answer(event_id: str, receipt: Receipt, *, final: bool = False) -> Response:
    """Returns the answer to a recorded delivery. `final`: it is recorded, so that the sender has
    done its part, whatever became of it."""
    status = receipt.status.value.lower()
    if final and (receipt.conflict or receipt.status is SyncStatus.REJECTED):
        document = {"id": event_id, "status": status, "outcome": None, "detail": receipt.detail}
        return Response(msgspec.json.encode(document), media_type="application/json")
    if receipt.conflict:
        return problem(HTTPStatus.CONFLICT, receipt.detail, id=event_id, outcome=status)
    if receipt.status is SyncStatus.REJECTED:
        kind = HTTPStatus.BAD_REQUEST if receipt.malformed else HTTPStatus.UNPROCESSABLE_ENTITY
        return problem(kind, receipt.detail, id=event_id, outcome=status)
    document = {
        "id": event_id,
        "status": status,
        "outcome": receipt.outcome.value.lower() if receipt.outcome else None,
        **({"detail": receipt.detail} if receipt.detail else {}),
    }
    done = receipt.status in (SyncStatus.SUCCESS, SyncStatus.SKIPPED)
    code = HTTPStatus.OK if done else HTTPStatus.ACCEPTED
    return Response(msgspec.json.encode(document), code.value, media_type="application/json")


def _by_name(headers: RawHeaders, query: bytes) -> Headers:
    """Returns the headers by name; the first one counts if a name occurs twice."""
    by_name = dict(reversed(headers))
    if b"code=" in query:
        codes = parse_qs(query).get(b"code", [])
        if codes:
            by_name[CODE] = codes[0]
    return by_name


def _unsupported(headers: Headers) -> Response | None:
    """Returns a 415 for a body that is not JSON by its headers, or is compressed: a signature is
    over the bytes as they are sent, and what they unpack to has no limit."""
    if not _is_json(headers.get(b"content-type", b"")):
        text = "Send the event with the content type application/json."
        return problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text)
    encoding = headers.get(b"content-encoding", b"").decode("latin-1").strip().lower()
    if encoding in ("", "identity"):
        return None
    response = problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the body without compression.")
    response.headers["Accept-Encoding"] = "identity"
    return response


def _is_json(header: bytes) -> bool:
    media_type = header.decode("latin-1").partition(";")[0].strip().lower()
    return media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )
