"""Sources and their verification schemes, which authenticate a delivery by its raw bytes."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from sync.errors import RefusalReason, VerificationError

TOLERANCE_SECONDS = 300
# Visible ASCII without blanks, so that event ids can be compared inside stamps.
_EVENT_ID = re.compile(rb"[\x21-\x7e]{1,200}")
_TIMESTAMP = re.compile(rb"[0-9]{1,12}")
_SECRET_PREFIX = "whsec_"  # noqa: S105  (the standard's prefix, not a secret)

Headers = Mapping[bytes, bytes]
"""Header values by name; the names are in lower case."""


class Verifier(Protocol):
    def verify(self, headers: Headers, body: bytes, now: datetime) -> str:
        """Returns the id of the event. Raises VerificationError."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """A configured sender of webhooks."""

    name: str
    verifier: Verifier


@dataclass(frozen=True, slots=True)
class StandardWebhooks:
    """The Standard Webhooks scheme. Any of the keys may have signed, so that keys can rotate."""

    # Prepared once and copied for each delivery, which is faster than preparing one each time.
    signers: Sequence[hmac.HMAC] = field(repr=False)

    @classmethod
    def from_secrets(cls, secrets: Sequence[str]) -> "StandardWebhooks":
        """Raises ValueError, as `standard_key` does."""
        keys = [standard_key(secret) for secret in secrets]
        return cls(tuple(hmac.new(key, digestmod="sha256") for key in keys))

    def verify(self, headers: Headers, body: bytes, now: datetime) -> str:
        event_id = _header(headers, b"webhook-id")
        timestamp = _header(headers, b"webhook-timestamp")
        signatures = _header(headers, b"webhook-signature")
        _check_event_id(event_id)
        if not _TIMESTAMP.fullmatch(timestamp):
            raise VerificationError(RefusalReason.HEADER_MALFORMED)
        if abs(now.timestamp() - int(timestamp)) > TOLERANCE_SECONDS:
            raise VerificationError(RefusalReason.TIMESTAMP_STALE)
        signed = b".".join((event_id, timestamp, body))
        expected = [_signature(signer, signed) for signer in self.signers]
        if not _any_equal(expected, _v1_signatures(signatures)):
            raise VerificationError(RefusalReason.SIGNATURE_WRONG)
        return event_id.decode()


@dataclass(frozen=True, slots=True)
class SharedKey:
    """A scheme for senders that cannot sign: a header holds the key. Without a `webhook-id` header,
    the hash of the body is the id of the event."""

    header: bytes
    keys: Sequence[bytes] = field(repr=False)

    def verify(self, headers: Headers, body: bytes, now: datetime) -> str:
        if not _any_equal(self.keys, [_header(headers, self.header)]):
            raise VerificationError(RefusalReason.KEY_WRONG)
        event_id = headers.get(b"webhook-id")
        if event_id is None:
            return f"sha256-{hashlib.sha256(body).hexdigest()}"
        _check_event_id(event_id)
        return event_id.decode()


def standard_key(secret: str) -> bytes:
    """Returns the signing key of a Standard Webhooks secret, written with `whsec_` or without.

    Raises ValueError for a secret that is not base64 or is empty; the message does not show it.
    """
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except ValueError as error:
        raise ValueError("A Standard Webhooks secret is `whsec_` followed by base64.") from error
    if not key:
        raise ValueError(
            "A Standard Webhooks secret is `whsec_` followed by base64; this one is empty."
        )
    return key


def _signature(signer: hmac.HMAC, signed: bytes) -> bytes:
    one = signer.copy()
    one.update(signed)
    return one.digest()


def _header(headers: Headers, name: bytes) -> bytes:
    value = headers.get(name)
    if not value:
        raise VerificationError(RefusalReason.HEADER_MISSING)
    return value


def _check_event_id(event_id: bytes) -> None:
    if not _EVENT_ID.fullmatch(event_id):
        raise VerificationError(RefusalReason.HEADER_MALFORMED)


def _v1_signatures(header: bytes) -> list[bytes]:
    signatures = []
    for part in header.split(b" "):
        version, _, encoded = part.partition(b",")
        if version == b"v1":
            try:
                signatures.append(base64.b64decode(encoded, validate=True))
            except binascii.Error:
                continue  # what is not base64 matches no signature
    return signatures


def _any_equal(expected: Sequence[bytes], given: Sequence[bytes]) -> bool:
    """Compares all pairs, each in constant time, so that the time taken reveals nothing."""
    found = False
    for one in expected:
        for other in given:
            found |= hmac.compare_digest(one, other)
    return found
