"""The errors of a delivery.

SyncError
├── VerificationError       the sender is not authenticated; it is not told the reason
├── RejectedError           the body is not an event that can be applied; becomes a REJECTED entry
│   ├── NotJsonError
│   └── NotAnEventError
├── SourceUnreadableError   what the source says cannot be read; the message says why
│   └── ChangesUnknownError what has changed cannot be told; everything has to be read
├── CorrectionRefusedError  a person's correction cannot be made; names the field that is wrong
├── ForgettingRefusedError  a person cannot be forgotten like this; names the field that is wrong
├── PersonUnknownError      nothing is held about a person whose data are asked for
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


class ForgettingFault(StrEnum):
    """The reason for which nobody is forgotten."""

    PORTAL_ID_INVALID = "PORTAL_ID_INVALID"
    REASON_MISSING = "REASON_MISSING"
    REASON_TOO_LONG = "REASON_TOO_LONG"
    REASON_NAMES_PERSON = "REASON_NAMES_PERSON"
    LAST_ADMINISTRATOR = "LAST_ADMINISTRATOR"


class ForgettingRefusedError(SyncError):
    """A person is not forgotten. `field` names what is wrong of the request, as in the API."""

    def __init__(self, fault: ForgettingFault, field: str, message: str) -> None:
        super().__init__(message)
        self.fault = fault
        self.field = field


class PersonUnknownError(SyncError):
    pass


class OverloadedError(SyncError):
    pass


class CorrectionFault(StrEnum):
    """The fault of a correction that is refused."""

    MEMBER_NOT_FOUND = "MEMBER_NOT_FOUND"
    ORGANIZATION_NOT_FOUND = "ORGANIZATION_NOT_FOUND"
    ROLE_NOT_FOUND = "ROLE_NOT_FOUND"
    REASON_MISSING = "REASON_MISSING"
    NOTHING_TO_CORRECT = "NOTHING_TO_CORRECT"
    VALUE_REFUSED = "VALUE_REFUSED"
    LAST_ADMINISTRATOR = "LAST_ADMINISTRATOR"


class CorrectionRefusedError(SyncError):
    """A correction cannot be made. `field` names what is wrong of it, as in the API."""

    def __init__(self, fault: CorrectionFault, field: str, message: str) -> None:
        super().__init__(message)
        self.fault = fault
        self.field = field
