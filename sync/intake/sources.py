"""Sources: who sends, how a delivery proves that, and how its body is read."""

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from starlette.responses import Response

from sync.errors import RefusalReason, VerificationError
from sync.parsing.body import without_translation
from sync.recording.deliveries import Delivery, read_delivery

# Visible ASCII without blanks, so that event ids can be compared inside stamps.
_EVENT_ID = re.compile(rb"[\x21-\x7e]{1,200}")

Headers = Mapping[bytes, bytes]
"""Header values by name; the names are in lower case. `CODE` is among them if the query has it."""

CODE = b"?code"
"""The name under which the query parameter `code` stands among the headers; no header has it."""


class Verifier(Protocol):
    def verify(self, headers: Headers, body: bytes, now: datetime) -> str:
        """Returns the id of the event. Raises VerificationError."""
        ...


class BodyReader(Protocol):
    def __call__(
        self, source: str, event_id: str, received_at: datetime, headers: Headers, body: bytes
    ) -> Sequence[Delivery]:
        """Returns what the body tells: a delivery for each event, or none for a handshake."""
        ...


class Handshake(Protocol):
    """Answers what a sender asks before its first delivery. Whoever asks has shown the key."""

    def consent(self, headers: Headers) -> Response | None:
        """Returns the answer to `OPTIONS`, or None if nothing is asked."""
        ...

    def validation(self, headers: Headers, body: bytes) -> Response | None:
        """Returns the answer to a body that asks, or None for one with events."""
        ...


def one_event(
    source: str, event_id: str, received_at: datetime, headers: Headers, body: bytes
) -> Sequence[Delivery]:
    """Reads a body that is one event of our own format."""
    return [read_delivery(source, event_id, received_at, without_translation(body))]


@dataclass(frozen=True, slots=True)
class Source:
    """A configured sender of webhooks.

    `repeats_only_503`: it takes any other refusal as final and may undo its user's work for it.
    """

    name: str
    verifier: Verifier
    reader: BodyReader = one_event
    repeats_only_503: bool = False
    handshake: Handshake | None = None


def id_header(headers: Headers) -> bytes:
    """Returns the name of the header with the event id. The scheme was Svix's first, and senders of
    theirs still use its names."""
    return b"webhook-id" if b"webhook-id" in headers else b"svix-id"


def required_header(headers: Headers, name: bytes) -> bytes:
    """Raises VerificationError if the header is missing or empty."""
    value = headers.get(name)
    if not value:
        raise VerificationError(RefusalReason.HEADER_MISSING)
    return value


def is_event_id(text: bytes) -> bool:
    """Returns True for an event id that can be part of a stamp."""
    return _EVENT_ID.fullmatch(text) is not None


def check_event_id(event_id: bytes) -> None:
    """Raises VerificationError for an event id that cannot be part of a stamp."""
    if not is_event_id(event_id):
        raise VerificationError(RefusalReason.HEADER_MALFORMED)


def any_equal(expected: Sequence[bytes], given: Sequence[bytes]) -> bool:
    """Compares all pairs, each in constant time, so that the time taken reveals nothing."""
    found = False
    for one in expected:
        for other in given:
            found |= hmac.compare_digest(one, other)
    return found
