"""What can go wrong with the Web API of the portal.

PortalError
├── PortalUnavailableError   not now: throttled, down, no answer, or the token is refused
└── PortalRefusedError       never like this: a wrong column, table or privilege; carries its words
"""


class PortalError(Exception):
    pass


class PortalUnavailableError(PortalError):
    pass


class PortalRefusedError(PortalError):
    pass
