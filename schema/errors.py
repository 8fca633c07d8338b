"""Errors a client can act on. Each carries its code in `extensions.code`; everything else that
goes wrong is masked.

ApiError
├── UnauthenticatedError
├── ForbiddenError
├── BadUserInputError      names the argument
├── BadRequestError        the document or request as a whole cannot be read
├── LimitError             more than one request may ask for
├── RateLimitedError       more often than one may ask
└── MemberInactiveError
"""

from graphql import GraphQLError


class ApiError(GraphQLError):
    code = "INTERNAL_SERVER_ERROR"

    def __init__(self, message: str, **extensions: object) -> None:
        super().__init__(message, extensions={"code": self.code, **extensions})


class UnauthenticatedError(ApiError):
    code = "UNAUTHENTICATED"

    def __init__(self, message: str = "Send a bearer token of a known member.") -> None:
        super().__init__(message)


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


class RateLimitedError(ApiError):
    code = "RATE_LIMITED"


class LimitError(ApiError):
    """`limit` says which; `found` is None where counting stopped at the limit."""

    code = "COST_LIMIT"

    def __init__(self, limit: str, found: int | None, allowed: int) -> None:
        what = limit.replace(".", " ").replace("_", " ")
        more = "more" if found is None else str(found)
        text = f"The {what} may be {allowed} at the most, and here there are {more}."
        hint = "Ask for less at a time, or in several requests."
        super().__init__(f"{text} {hint}", limit=limit, allowed=allowed)
        self.limit = limit
