"""Verifies the key in a header."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sync.errors import RefusalReason, VerificationError
from sync.intake.sources import Headers, any_equal, check_event_id, id_header, required_header


@dataclass(frozen=True, slots=True)
class SharedKey:
    """A scheme for senders that cannot sign: a header holds the key. Without a `webhook-id` header,
    the hash of the body is the id of the event."""

    header: bytes
    keys: Sequence[bytes] = field(repr=False)

    def verify(self, headers: Headers, body: bytes, now: datetime) -> str:
        if not any_equal(self.keys, [required_header(headers, self.header)]):
            raise VerificationError(RefusalReason.KEY_WRONG)
        event_id = headers.get(id_header(headers))
        if event_id is None:
            return f"sha256-{hashlib.sha256(body).hexdigest()}"
        check_event_id(event_id)
        return event_id.decode()
