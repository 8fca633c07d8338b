"""Disturbed streams repeat and reorder, within bounds, and lose nothing."""

from collections import Counter
from itertools import count, islice

from hypothesis import given
from hypothesis import strategies as st

from sync.simulator.disturbance import disturbed
from sync.simulator.event_bodies import PortalEvent


def numbered(place: int) -> PortalEvent:
    return PortalEvent(f"evt_{place}", "membership-updated", "m", b"{}")


@given(
    size=st.integers(0, 200),
    duplicates=st.floats(0, 1),
    shuffle=st.integers(0, 20),
    late=st.floats(0, 1),
    seed=st.integers(0, 1_000),
)
def test_nothing_is_lost_and_nothing_comes_more_than_twice(
    size: int, duplicates: float, shuffle: int, late: float, seed: int
) -> None:
    events = [numbered(place) for place in range(size)]

    delivered = Counter(disturbed(events, duplicates, shuffle, seed=seed, late=late))

    assert set(delivered) == set(events)
    assert all(times <= 2 for times in delivered.values())


@given(size=st.integers(0, 200), shuffle=st.integers(0, 20), seed=st.integers(0, 1_000))
def test_nobody_is_overtaken_by_more_than_the_window(size: int, shuffle: int, seed: int) -> None:
    places = {numbered(place): place for place in range(size)}

    latest = -1
    for event in disturbed(places, 0.3, shuffle, seed=seed):
        latest = max(latest, places[event])
        assert latest - places[event] <= shuffle


def test_undisturbed_stream_stays_as_it_is() -> None:
    events = [numbered(place) for place in range(50)]

    assert list(disturbed(events, 0, 0)) == events


def test_disturbance_really_disturbs_and_is_repeatable() -> None:
    events = [numbered(place) for place in range(200)]

    first = list(disturbed(events, 0.1, 5, seed=1))

    assert first == list(disturbed(events, 0.1, 5, seed=1))
    assert list(dict.fromkeys(first)) != events
    assert 205 <= len(first) <= 240


def test_endless_streams_can_be_disturbed() -> None:
    endless = (numbered(place) for place in count())

    assert len(list(islice(disturbed(endless, 0.1, 3), 500))) == 500
