"""Errors a client can act on. Each carries its code in `extensions.code`; everything else that
goes wrong is masked.

ApiError
├── UnauthenticatedError
├── ForbiddenError
├── BadUserInputError      names the argument
└── MemberInactiveError
"""

from graphql import GraphQLError


class ApiError(GraphQLError):
    code = "INTERNAL_SERVER_ERROR"

    def __init__(self, message: str, **extensions: str) -> None:
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
