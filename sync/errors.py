"""What can be wrong with a delivery.

SyncError
├── VerificationError       who sent it cannot be told; carries the reason, for the metrics only
├── RejectedError           authenticated, but not an event we can read; becomes a REJECTED entry
│   ├── NotJsonError
│   └── NotAnEventError
└── OverloadedError         too much is waiting, or the service is stopping
"""

from enum import StrEnum


class Refusal(StrEnum):
    """Why a delivery was not believed. For metrics; senders are never told."""

    HEADER_MISSING = "header_missing"
    HEADER_MALFORMED = "header_malformed"
    TIMESTAMP_STALE = "timestamp_stale"
    SIGNATURE_WRONG = "signature_wrong"
    KEY_WRONG = "key_wrong"


class SyncError(Exception):
    pass


class VerificationError(SyncError):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


class RejectedError(SyncError):
    """The message is for the sender: what is wrong, and where."""


class NotJsonError(RejectedError):
    pass


class NotAnEventError(RejectedError):
    pass


class OverloadedError(SyncError):
    pass
