"""The errors of the portal's Web API.

PortalError
├── PortalUnavailableError   not now: throttled, down, no answer, or the token is refused
├── PortalRefusedError       never like this: a wrong column, table or privilege; carries its words
└── DeltaExpiredError        what has changed since then can no longer be told
"""

from sync.errors import ChangesUnknownError, SourceUnreadableError


class PortalError(SourceUnreadableError):
    pass


class PortalUnavailableError(PortalError):
    pass


class PortalRefusedError(PortalError):
    pass


class DeltaExpiredError(PortalError, ChangesUnknownError):
    pass
