"""Verifies the signatures of Standard Webhooks."""

import base64
import binascii
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sync.errors import RefusalReason, VerificationError
from sync.intake.sources import Headers, any_equal, check_event_id, id_header, required_header
from sync.standard_webhooks.secrets import standard_key

TOLERANCE_SECONDS = 300
_TIMESTAMP = re.compile(rb"[0-9]{1,12}")


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
        name = id_header(headers)
        prefix = name.removesuffix(b"id")
        event_id = required_header(headers, name)
        timestamp = required_header(headers, prefix + b"timestamp")
        signatures = required_header(headers, prefix + b"signature")
        check_event_id(event_id)
        if not _TIMESTAMP.fullmatch(timestamp):
            raise VerificationError(RefusalReason.HEADER_MALFORMED)
        signed = b".".join((event_id, timestamp, body))
        expected = [_signature(signer, signed) for signer in self.signers]
        is_signed = any_equal(expected, _v1_signatures(signatures))
        skew = int(timestamp) - int(now.timestamp())
        if abs(skew) > TOLERANCE_SECONDS:
            # Only a signature proves that this is the sender's clock.
            raise VerificationError(RefusalReason.TIMESTAMP_STALE, skew if is_signed else None)
        if not is_signed:
            raise VerificationError(RefusalReason.SIGNATURE_WRONG)
        return event_id.decode()


def _signature(signer: hmac.HMAC, signed: bytes) -> bytes:
    one = signer.copy()
    one.update(signed)
    return one.digest()


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
