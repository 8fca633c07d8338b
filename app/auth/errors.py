"""Why somebody is not known. The messages are for clients, and tell nothing of keys or secrets.

AuthenticationError
├── InvalidTokenError       the token is not good; another one is needed
└── KeysUnavailableError    it cannot be told yet; the same one may be good in a moment
"""


class AuthenticationError(Exception):
    pass


class InvalidTokenError(AuthenticationError):
    pass


class KeysUnavailableError(AuthenticationError):
    def __init__(self) -> None:
        super().__init__("Tokens cannot be verified at the moment. Try again later.")
