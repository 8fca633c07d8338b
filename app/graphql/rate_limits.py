"""Limits how often each credential, and each address without one, may ask GraphQL.

Authenticated callers are never limited by what others at their address do, since thousands of
phones can share one.
"""

from collections import defaultdict
from collections.abc import Awaitable, Hashable

from starlette.types import Scope

from app.auth.errors import InvalidTokenError
from app.edge.layers import failure_limiter
from app.edge.rates import Exceeded, Limiter, Rate, network_of
from app.settings import Settings
from schema.context import Credentials
from schema.errors import RateLimitedError

MAX_UNIDENTIFIED_PER_ADDRESS = 500
"""The most sockets without credentials that an address may have at a time."""


class TooManyRequestsError(RateLimitedError):
    def __init__(self, exceeded: Exceeded) -> None:
        super().__init__(f"Too many requests. Try again in {exceeded.seconds} s.")
        self.exceeded = exceeded


class UnidentifiedSockets:
    """The sockets of each address that have not sent credentials."""

    def __init__(self, most_per_address: int | None) -> None:
        """Limits operations per address; None sets no limit."""
        self._most = most_per_address
        self._by_address: defaultdict[str, set[Hashable]] = defaultdict(set)

    def add(self, socket: Hashable, scope: Scope) -> bool:
        """Returns False, and adds nothing, when the address has as many as it may have."""
        sockets = self._by_address[_address(scope)]
        if self._most is not None and len(sockets) >= self._most:
            return False
        sockets.add(socket)
        return True

    def remove(self, socket: Hashable, scope: Scope) -> None:
        """Does nothing for an unknown socket."""
        address = _address(scope)
        self._by_address[address].discard(socket)
        if not self._by_address[address]:
            del self._by_address[address]


class RateLimits:
    """Counts requests and refused tokens; a limiter that is None limits nothing."""

    def __init__(
        self,
        requests: Limiter | None = None,
        failures: Limiter | None = None,
        sockets_per_address: int | None = None,
    ) -> None:
        self.unidentified_sockets = UnidentifiedSockets(sockets_per_address)
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
    return RateLimits(
        Limiter(Rate(often, max(1, often // 5))),
        failure_limiter(settings),
        MAX_UNIDENTIFIED_PER_ADDRESS,
    )


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return network_of(client[0]) if client else ""
