"""The limiter: bursts, the long run, and memory that does not grow."""

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from app.edge.rates import REMEMBERED, Limiter, Rate, network_of


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(
    per_minute=st.integers(1, 1000),
    burst=st.integers(1, 50),
    pauses=st.lists(st.floats(0, 30), max_size=200),
)
def test_no_more_than_a_burst_and_the_rate_ever_pass(
    per_minute: int, burst: int, pauses: list[float]
) -> None:
    clock = Clock()
    limiter = Limiter(Rate(per_minute, burst), clock)
    passed = []
    for moment in accumulate(pauses, initial=clock.now):
        clock.now = moment
        if limiter.take("a") is None:
            passed.append(moment)

    for first, start in enumerate(passed):
        for last, end in enumerate(passed[first:], start=first):
            assert last - first + 1 <= burst + (end - start) * per_minute / 60 + 1e-3


@given(per_minute=st.integers(1, 1000), burst=st.integers(1, 50))
def test_who_waits_as_long_as_told_may_go_on(per_minute: int, burst: int) -> None:
    clock = Clock()
    limiter = Limiter(Rate(per_minute, burst), clock)
    assert all(limiter.take("a") is None for _ in range(burst))
    exceeded = limiter.take("a")
    assert exceeded is not None

    clock.now += exceeded.seconds

    assert limiter.take("a") is None
    assert limiter.take("b") is None


def test_refusal_says_when_to_come_again_and_what_the_limit_is() -> None:
    limiter = Limiter(Rate(60, 1), Clock())
    limiter.take("a")
    exceeded = limiter.take("a")

    assert exceeded is not None
    assert exceeded.headers() == {
        "Retry-After": "1",
        "RateLimit-Policy": '"default";q=60;w=60',
        "RateLimit": '"default";r=0;t=1',
    }


def test_memory_does_not_grow_with_the_number_of_strangers() -> None:
    clock = Clock()
    limiter = Limiter(Rate(60, 10), clock)

    for number in range(3 * REMEMBERED):
        clock.now += 0.00001
        limiter.take(str(number))

    assert len(limiter._free_at) <= REMEMBERED


def test_addresses_of_one_network_are_one() -> None:
    assert network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") != network_of("2001:db9::1")
    assert network_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert network_of("fe80::1%eth0") == network_of("fe80::2")
    assert network_of("no address") == "no address"
