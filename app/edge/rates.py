"""Limits how often a caller may ask. Memory is bounded, however many callers there are."""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from math import ceil
from time import monotonic

REMEMBERED = 100_000


@dataclass(frozen=True, slots=True)
class Rate:
    """A limit of `burst` requests at once, and `per_minute` in the long run."""

    per_minute: int
    burst: int


@dataclass(frozen=True, slots=True)
class Exceeded:
    """The limit that was exceeded, and after how many `seconds` to try again."""

    rate: Rate
    seconds: int

    def headers(self) -> dict[str, str]:
        """Returns `Retry-After` and the headers of draft-ietf-httpapi-ratelimit-headers."""
        return {
            "Retry-After": str(self.seconds),
            "RateLimit-Policy": f'"default";q={self.rate.per_minute};w=60',
            "RateLimit": f'"default";r=0;t={self.seconds}',
        }


class Limiter:
    """The generic cell rate algorithm: keeps one number per key, when it is free again."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._interval = 60 / rate.per_minute
        # The small addition makes up for rounding.
        self._slack = self._interval * (rate.burst + 1e-6)
        self._free_at: dict[str, float] = {}

    def take(self, key: str) -> Exceeded | None:
        """Counts a request and returns None, or refuses it without counting it."""
        now = self._clock()
        free_at = max(self._free_at.get(key, now), now) + self._interval
        if free_at - now > self._slack:
            return Exceeded(self._rate, ceil(free_at - now - self._slack))
        if len(self._free_at) >= REMEMBERED and key not in self._free_at:
            self._forget(now)
        self._free_at[key] = free_at
        return None

    def _forget(self, now: float) -> None:
        """Removes the keys that are free again; if there are none, the oldest tenth."""
        quiet = [key for key, free_at in self._free_at.items() if free_at <= now]
        for key in quiet or list(self._free_at)[: REMEMBERED // 10]:
            del self._free_at[key]


def network_of(address: str) -> str:
    """Returns the address, or its /64 network for IPv6, where a household has a whole network."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return address
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(IPv6Address(int(ip) >> 64 << 64))
