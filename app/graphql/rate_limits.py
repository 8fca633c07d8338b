"""Limits how often each credential, and each address without one, may ask GraphQL.

Authenticated callers are never limited by what others at their address do, since thousands of
phones can share one.
"""

from collections.abc import Awaitable

from starlette.types import Scope

from app.auth.errors import InvalidTokenError
from app.edge.layers import failure_limiter
from app.edge.rates import Exceeded, Limiter, Rate, network_of
from app.settings import Settings
from schema.context import Credentials
from schema.errors import RateLimitedError


class TooManyRequestsError(RateLimitedError):
    def __init__(self, exceeded: Exceeded) -> None:
        super().__init__(f"Too many requests. Try again in {exceeded.seconds} s.")
        self.exceeded = exceeded


class RateLimits:
    """Counts requests and refused tokens; a limiter that is None limits nothing."""

    def __init__(self, requests: Limiter | None = None, failures: Limiter | None = None) -> None:
        self._requests = requests
        self._failures = failures

    async def authenticated(
        self, authenticating: Awaitable[Credentials | None], scope: Scope
    ) -> Credentials | None:
        """Returns what `authenticating` returns.

        Raises what it raises, but TooManyRequestsError once too many tokens from the address were
        refused.
        """
        try:
            return await authenticating
        except InvalidTokenError as error:
            if self._failures is not None and (exceeded := self._failures.take(_address(scope))):
                raise TooManyRequestsError(exceeded) from error
            raise

    def count(self, credentials: Credentials | None, scope: Scope) -> None:
        """Counts one request. Raises TooManyRequestsError."""
        if self._requests is None:
            return
        key = _address(scope) if credentials is None else credentials.actor
        exceeded = self._requests.take(key)
        if exceeded is not None:
            raise TooManyRequestsError(exceeded)


def rate_limits_of(settings: Settings) -> RateLimits:
    if not settings.is_guarded:
        return RateLimits()
    often = settings.requests_per_minute
    return RateLimits(Limiter(Rate(often, max(1, often // 5))), failure_limiter(settings))


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return network_of(client[0]) if client else ""
