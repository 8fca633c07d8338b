"""Verifies the key that Dataverse sends, in a header or as `?code=`."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sync.errors import RefusalReason, VerificationError
from sync.intake.sources import CODE, Headers, any_equal


@dataclass(frozen=True, slots=True)
class DataverseKey:
    """The registration of a webhook offers these: `HttpHeader`, if the source has a `header`, and
    `WebhookKey`, which is the query parameter `code`."""

    keys: Sequence[bytes] = field(repr=False)
    header: bytes | None = None

    def verify(self, headers: Headers, body: bytes, now: datetime) -> str:
        names = [CODE] if self.header is None else [CODE, self.header]
        given = [key for name in names if (key := headers.get(name))]
        if not given:
            raise VerificationError(RefusalReason.HEADER_MISSING)
        if not any_equal(self.keys, given):
            raise VerificationError(RefusalReason.KEY_WRONG)
        return f"sha256-{hashlib.sha256(body).hexdigest()}"
