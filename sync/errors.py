"""The errors of a delivery.

SyncError
├── VerificationError       the sender is not authenticated; it is not told the reason
├── RejectedError           the body is not an event that can be applied; becomes a REJECTED entry
│   ├── NotJsonError
│   └── NotAnEventError
├── SourceUnreadableError   what the source says cannot be read; the message says why
│   └── ChangesUnknownError what has changed cannot be told; everything has to be read
└── OverloadedError         too many deliveries are waiting, or the service is stopping
"""

from enum import StrEnum

from sync.events import Outline

NOTHING_READ = Outline()


class RefusalReason(StrEnum):
    """Reasons for which a delivery is refused. The operator learns them, the sender does not."""

    HEADER_MISSING = "header_missing"
    HEADER_MALFORMED = "header_malformed"
    TIMESTAMP_STALE = "timestamp_stale"
    SIGNATURE_WRONG = "signature_wrong"
    KEY_WRONG = "key_wrong"


class SyncError(Exception):
    pass


class VerificationError(SyncError):
    """`skew_seconds`: how far a signed time is ahead of ours, or behind it if negative."""

    def __init__(self, reason: RefusalReason, skew_seconds: int | None = None) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.skew_seconds = skew_seconds


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


class ChangesUnknownError(SourceUnreadableError):
    pass


class OverloadedError(SyncError):
    pass
