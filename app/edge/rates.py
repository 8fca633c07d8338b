"""How often somebody may ask. One number for each of them, and bounded memory for all."""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from math import ceil
from time import monotonic

REMEMBERED = 100_000


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` at once, and `per_minute` in the long run."""

    per_minute: int
    burst: int


@dataclass(frozen=True, slots=True)
class Exceeded:
    """`seconds`: when it can be tried again."""

    rate: Rate
    seconds: int

    def headers(self) -> dict[str, str]:
        """Those of draft-ietf-httpapi-ratelimit-headers, and Retry-After."""
        return {
            "Retry-After": str(self.seconds),
            "RateLimit-Policy": f'"default";q={self.rate.per_minute};w=60',
            "RateLimit": f'"default";r=0;t={self.seconds}',
        }


class Limiter:
    """The generic cell rate algorithm: of each key, only the time at which it is free again."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._interval = 60 / rate.per_minute
        # And a little, for what is lost in adding and subtracting.
        self._slack = self._interval * (rate.burst + 1e-6)
        self._free_at: dict[str, float] = {}

    def take(self, key: str) -> Exceeded | None:
        """None when it may go on. What is refused costs nothing."""
        now = self._clock()
        free_at = max(self._free_at.get(key, now), now) + self._interval
        if free_at - now > self._slack:
            return Exceeded(self._rate, ceil(free_at - now - self._slack))
        if len(self._free_at) >= REMEMBERED and key not in self._free_at:
            self._forget(now)
        self._free_at[key] = free_at
        return None

    def _forget(self, now: float) -> None:
        """Those who have been quiet; if nobody was, those who were the first to come."""
        quiet = [key for key, free_at in self._free_at.items() if free_at <= now]
        for key in quiet or list(self._free_at)[: REMEMBERED // 10]:
            del self._free_at[key]


def network_of(address: str) -> str:
    """Of IPv6, a household or a server has a whole network (/64)."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return address
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(IPv6Address(int(ip) >> 64 << 64))
