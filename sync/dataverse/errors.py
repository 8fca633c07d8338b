"""What can go wrong with the Web API of the portal.

PortalError
├── PortalUnavailableError   not now: throttled, down, no answer, or the token is refused
└── PortalRefusedError       never like this: a wrong column, table or privilege; carries its words
"""

from sync.errors import SourceUnreadableError


class PortalError(SourceUnreadableError):
    pass


class PortalUnavailableError(PortalError):
    pass


class PortalRefusedError(PortalError):
    pass
