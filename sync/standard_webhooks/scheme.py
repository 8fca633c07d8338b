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
        if abs(now.timestamp() - int(timestamp)) > TOLERANCE_SECONDS:
            raise VerificationError(RefusalReason.TIMESTAMP_STALE)
        signed = b".".join((event_id, timestamp, body))
        expected = [_signature(signer, signed) for signer in self.signers]
        if not any_equal(expected, _v1_signatures(signatures)):
            raise VerificationError(RefusalReason.SIGNATURE_WRONG)
        return event_id.decode()


def standard_key(secret: str) -> bytes:
    """Returns the signing key of a Standard Webhooks secret, written with `whsec_` or without, and
    with the padding of base64 or without.

    Raises ValueError for a secret that is not base64 or is empty; the message does not show it.
    """
    try:
        encoded = secret.removeprefix(_SECRET_PREFIX)
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
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
