"""Sources, and how a delivery proves that it comes from one. Works on raw bytes only."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from sync.errors import Refusal, VerificationError

TOLERANCE_SECONDS = 300
# Visible ASCII without blanks: what an event id may hold, so that stamps keep their order.
_EVENT_ID = re.compile(rb"[\x21-\x7e]{1,200}")
_TIMESTAMP = re.compile(rb"[0-9]{1,12}")
_SECRET_PREFIX = "whsec_"  # noqa: S105  (the standard's prefix, not a secret)

Headers = Mapping[bytes, bytes]
"""By name, which is in lower case."""


class Verifier(Protocol):
    def verify(self, headers: Headers, body: bytes, now: datetime) -> str:
        """Returns the event id. Raises VerificationError."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """A configured sender of webhooks."""

    name: str
    verifier: Verifier


@dataclass(frozen=True, slots=True)
class StandardWebhooks:
    """The Standard Webhooks scheme; any of the keys may have signed, so that keys can rotate."""

    # Made once: to make one costs more than to sign a delivery with a copy of it.
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
            raise VerificationError(Refusal.HEADER_MALFORMED)
        if abs(now.timestamp() - int(timestamp)) > TOLERANCE_SECONDS:
            raise VerificationError(Refusal.TIMESTAMP_STALE)
        signed = b".".join((event_id, timestamp, body))
        expected = [_signature(signer, signed) for signer in self.signers]
        if not _any_equal(expected, _v1_signatures(signatures)):
            raise VerificationError(Refusal.SIGNATURE_WRONG)
        return event_id.decode()


@dataclass(frozen=True, slots=True)
class SharedKey:
    """A key in a header, for senders that cannot sign. Without a webhook-id, the same body is the
    same event."""

    header: bytes
    keys: Sequence[bytes] = field(repr=False)

    def verify(self, headers: Headers, body: bytes, now: datetime) -> str:
        if not _any_equal(self.keys, [_header(headers, self.header)]):
            raise VerificationError(Refusal.KEY_WRONG)
        event_id = headers.get(b"webhook-id")
        if event_id is None:
            return f"sha256-{hashlib.sha256(body).hexdigest()}"
        _check_event_id(event_id)
        return event_id.decode()


def standard_key(secret: str) -> bytes:
    """What a Standard Webhooks secret signs with; it may be written with the prefix or without.

    Raises ValueError, which does not show it, for one that is not base64 or holds no key.
    """
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except ValueError as error:
        raise ValueError("A Standard Webhooks secret is `whsec_` followed by base64.") from error
    if not key:
        raise ValueError("A Standard Webhooks secret is `whsec_` followed by base64; it has none.")
    return key


def _signature(signer: hmac.HMAC, signed: bytes) -> bytes:
    one = signer.copy()
    one.update(signed)
    return one.digest()


def _header(headers: Headers, name: bytes) -> bytes:
    value = headers.get(name)
    if not value:
        raise VerificationError(Refusal.HEADER_MISSING)
    return value


def _check_event_id(event_id: bytes) -> None:
    if not _EVENT_ID.fullmatch(event_id):
        raise VerificationError(Refusal.HEADER_MALFORMED)


def _v1_signatures(header: bytes) -> list[bytes]:
    signatures = []
    for part in header.split(b" "):
        version, _, encoded = part.partition(b",")
        if version == b"v1":
            try:
                signatures.append(base64.b64decode(encoded, validate=True))
            except binascii.Error:
                continue  # not base64, so it can match no signature
    return signatures


def _any_equal(expected: Sequence[bytes], given: Sequence[bytes]) -> bool:
    """Compares every pair, each in constant time, so that time tells nothing of the keys."""
    found = False
    for one in expected:
        for other in given:
            found |= hmac.compare_digest(one, other)
    return found
