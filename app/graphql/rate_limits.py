"""Where requests for GraphQL come in: how often each credential and each address may ask.

Somebody known never waits for what others do, even at the same address: thousands of phones can
share one.
"""

from collections.abc import Awaitable

from starlette.types import Scope

from app.auth.errors import InvalidTokenError
from app.edge.layers import failure_limiter
from app.edge.rates import Exceeded, Limiter, Rate, network_of
from app.settings import Settings
from schema.context import Credentials
from schema.errors import RateLimitedError


class TooOftenError(RateLimitedError):
    def __init__(self, exceeded: Exceeded) -> None:
        super().__init__(f"Too many requests. Try again in {exceeded.seconds} s.")
        self.exceeded = exceeded


class Gate:
    """Without limiters, everybody passes."""

    def __init__(self, requests: Limiter | None = None, failures: Limiter | None = None) -> None:
        self._requests = requests
        self._failures = failures

    async def admitted(
        self, asking: Awaitable[Credentials | None], scope: Scope
    ) -> Credentials | None:
        """What is asked for. Raises what that raises, or TooOftenError after too many tokens of
        one address were refused."""
        try:
            return await asking
        except InvalidTokenError as error:
            if self._failures is not None and (exceeded := self._failures.take(_address(scope))):
                raise TooOftenError(exceeded) from error
            raise

    def count(self, credentials: Credentials | None, scope: Scope) -> None:
        """One more request. Raises TooOftenError."""
        if self._requests is None:
            return
        key = _address(scope) if credentials is None else credentials.actor
        exceeded = self._requests.take(key)
        if exceeded is not None:
            raise TooOftenError(exceeded)


def gate_of(settings: Settings) -> Gate:
    if not settings.is_guarded:
        return Gate()
    often = settings.requests_per_minute
    return Gate(Limiter(Rate(often, max(1, often // 5))), failure_limiter(settings))


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return network_of(client[0]) if client else ""
