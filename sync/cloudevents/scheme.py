"""Verifies the key of a broker, and answers the handshakes by which brokers ask whether they may
send."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from http import HTTPStatus

import msgspec
from starlette.responses import Response

from sync.cloudevents.envelopes import json_of
from sync.errors import NotJsonError, RefusalReason, VerificationError
from sync.intake.sources import CODE, Headers, any_equal

ORIGIN = b"webhook-request-origin"
_BEARER = b"bearer "


@dataclass(frozen=True, slots=True)
class CloudEventsKey:
    """A scheme for brokers: the key comes as `?code=`, as a bearer token, or in the header of the
    source, if it has one."""

    keys: Sequence[bytes] = field(repr=False)
    header: bytes | None = None

    def verify(self, headers: Headers, body: bytes, now: datetime) -> str:
        given = [key for key in self._given(headers) if key]
        if not given:
            raise VerificationError(RefusalReason.HEADER_MISSING)
        if not any_equal(self.keys, given):
            raise VerificationError(RefusalReason.KEY_WRONG)
        return f"sha256-{sha256(body).hexdigest()}"

    def _given(self, headers: Headers) -> list[bytes]:
        token = headers.get(b"authorization", b"")
        bearer = token[len(_BEARER) :].strip() if token.lower().startswith(_BEARER) else b""
        named = headers.get(self.header, b"") if self.header is not None else b""
        return [headers.get(CODE, b""), bearer, named]


class CloudEventsHandshake:
    """The two ways in which a broker makes sure that a webhook wants what it will send: `OPTIONS`
    as in the webhook specification of CloudEvents, and an event of Event Grid's own schema."""

    def consent(self, headers: Headers) -> Response | None:
        origin = headers.get(ORIGIN)
        if not origin:
            return None
        return Response(
            status_code=HTTPStatus.OK,
            headers={
                "Allow": "POST, OPTIONS",
                "WebHook-Allowed-Origin": origin.decode("latin-1"),
                "WebHook-Allowed-Rate": "*",
            },
        )

    def validation(self, headers: Headers, body: bytes) -> Response | None:
        if headers.get(b"aeg-event-type", b"").lower() != b"subscriptionvalidation":
            return None
        code = _validation_code(body)
        if code is None:
            return None
        answer = msgspec.json.encode({"validationResponse": code})
        return Response(answer, media_type="application/json")


def _validation_code(body: bytes) -> str | None:
    try:
        events = json_of(body)
    except NotJsonError:
        return None
    first = events[0] if isinstance(events, list) and events else events
    data = first.get("data") if isinstance(first, dict) else None
    code = data.get("validationCode") if isinstance(data, dict) else None
    return code if isinstance(code, str) else None
