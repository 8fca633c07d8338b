"""The errors of a delivery.

SyncError
├── VerificationError       the sender is not authenticated; carries the reason, for metrics only
├── RejectedError           the body is not an event that can be applied; becomes a REJECTED entry
│   ├── NotJsonError
│   └── NotAnEventError
├── SourceUnreadableError   what the source says cannot be read; the message says why
└── OverloadedError         too many deliveries are waiting, or the service is stopping
"""

from enum import StrEnum

from sync.events import Outline

NOTHING_READ = Outline()


class RefusalReason(StrEnum):
    """Reasons for which a delivery is refused, for metrics only; the sender gets no reason."""

    HEADER_MISSING = "header_missing"
    HEADER_MALFORMED = "header_malformed"
    TIMESTAMP_STALE = "timestamp_stale"
    SIGNATURE_WRONG = "signature_wrong"
    KEY_WRONG = "key_wrong"


class SyncError(Exception):
    pass


class VerificationError(SyncError):
    def __init__(self, reason: RefusalReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class RejectedError(SyncError):
    """Its message tells the sender what is wrong, and where. `outline` is what could be read."""

    def __init__(self, message: str, outline: Outline = NOTHING_READ) -> None:
        super().__init__(message)
        self.outline = outline


class NotJsonError(RejectedError):
    pass


class NotAnEventError(RejectedError):
    pass


class SourceUnreadableError(SyncError):
    """The message says why the source could not be read."""


class OverloadedError(SyncError):
    pass
