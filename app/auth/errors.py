"""The errors a client gets for a refused token. No text says anything of keys or secrets.

AuthenticationError
├── InvalidTokenError       the token is refused; the client needs another one
└── KeysUnavailableError    the token cannot be verified now; the same one may be good later
"""

from enum import StrEnum

MAX_TOKEN_CHARACTERS = 8192


class TokenFault(StrEnum):
    """A fault of a token, in the words that its client reads."""

    NOT_A_BEARER_TOKEN = "Send `Authorization: Bearer <token>`."  # noqa: S105 -- a sentence
    NOT_TEXT = "`authorization` must be text."
    TOO_LONG = f"The token has more than {MAX_TOKEN_CHARACTERS} characters."
    NOT_VALID = "The token is not valid."
    EXPIRED = "The token has expired."
    NOT_VALID_YET = "The token is not valid yet."
    WRONG_ISSUER = "The token was issued by another issuer."
    WRONG_AUDIENCE = "The token was issued for another audience."
    UNKNOWN_KEY = "The token is signed with an unknown key."
    OPERATOR_IS_MEMBER = "The token gives a member the rights of an operator (`sync:operate`)."
    SUBJECT_NOT_TEXT = "The subject of the token must be printable text."


class AuthenticationError(Exception):
    pass


class InvalidTokenError(AuthenticationError):
    def __init__(self, fault: TokenFault) -> None:
        super().__init__(fault.value)
        self.fault = fault


class KeysUnavailableError(AuthenticationError):
    def __init__(self) -> None:
        super().__init__("Tokens cannot be verified at the moment. Try again later.")
