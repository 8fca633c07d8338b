"""Errors that clients can act on, with their codes in `extensions.code`. All others are masked.

ApiError
├── UnauthenticatedError
│   └── MemberUnknownError     the token is valid, and its person is not known yet
├── ForbiddenError
├── BadUserInputError      names the argument
├── BadRequestError        the request or document cannot be read
├── PersistedQueryNotFoundError   the client sends the text of its query again
├── LimitError             the request asks for too much
├── RateLimitedError       the client asks too often
└── MemberInactiveError
"""

from graphql import GraphQLError


class ApiError(GraphQLError):
    code = "INTERNAL_SERVER_ERROR"

    def __init__(self, message: str, **extensions: object) -> None:
        super().__init__(message, extensions={"code": self.code, **extensions})


class UnauthenticatedError(ApiError):
    code = "UNAUTHENTICATED"

    def __init__(
        self, message: str = "Send a bearer token of a known member.", **extensions: object
    ) -> None:
        super().__init__(message, **extensions)


class MemberUnknownError(UnauthenticatedError):
    """`extensions.reason` tells clients to keep the token and try again."""

    def __init__(self) -> None:
        super().__init__(
            "The portal has not told of this member yet. Keep the token and try again later.",
            reason="MEMBER_UNKNOWN",
        )


class ForbiddenError(ApiError):
    code = "FORBIDDEN"


class MemberInactiveError(ApiError):
    code = "MEMBER_INACTIVE"

    def __init__(self) -> None:
        super().__init__("The membership is not active, so the app cannot be used.")


class BadUserInputError(ApiError):
    code = "BAD_USER_INPUT"

    def __init__(self, message: str, argument: str) -> None:
        super().__init__(f"Argument `{argument}`: {message}", argument=argument)


class BadRequestError(ApiError):
    code = "BAD_USER_INPUT"


class PersistedQueryNotFoundError(ApiError):
    """Clients know it by its message or its code, whichever they look at."""

    code = "PERSISTED_QUERY_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("PersistedQueryNotFound")


class RateLimitedError(ApiError):
    code = "RATE_LIMITED"


class LimitError(ApiError):
    """`limit` names the limit. `found` is None when counting stopped at the limit."""

    code = "COST_LIMIT"

    def __init__(self, limit: str, found: int | None, allowed: int) -> None:
        subject, _, unit = limit.replace("_", " ").partition(".")
        amount = f"more than {allowed}" if found is None else str(found)
        text = f"{subject.capitalize()} {_AMOUNTS.get(unit, f'has {{}} {unit}').format(amount)}"
        if found is not None:
            text += f"; the limit is {allowed}"
        hint = "Ask for less, or send several requests."
        super().__init__(f"{text}. {hint}", limit=limit, allowed=allowed)
        self.limit = limit


_AMOUNTS = {
    "cost": "has a cost of {}",
    "depth": "has a depth of {}",
    "seconds": "takes {} seconds",
}
