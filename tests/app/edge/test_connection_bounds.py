"""Which connections are closed when there are too many, or when they hold too much."""

import pytest

from app.edge import connection_bounds
from app.edge.connection_bounds import ConnectionBounds


class Connection:
    def __init__(self) -> None:
        self.is_open = True

    def check(self, now: float) -> None: ...

    def drop(self) -> None:
        self.is_open = False


@pytest.fixture
def bounds() -> ConnectionBounds:
    return ConnectionBounds()


def added(bounds: ConnectionBounds, count: int) -> list[Connection]:
    """Waiting ones."""
    found = [Connection() for _ in range(count)]
    for connection in found:
        bounds.add(connection)
        bounds.waiting(connection)
    return found


def still_open(among: list[Connection]) -> list[int]:
    return [number for number, connection in enumerate(among) if connection.is_open]


@pytest.mark.parametrize("limit", ["MAX_WAITING", "MAX_CONNECTIONS"])
async def test_new_connection_takes_the_place_of_the_one_that_waited_longest(
    bounds: ConnectionBounds, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(connection_bounds, limit, 3)
    several = added(bounds, 3)
    bounds.busy(several[0])
    bounds.waiting(several[0])

    several += added(bounds, 1)

    assert still_open(several) == [0, 2, 3]


async def test_no_request_in_progress_ends_for_a_new_connection(
    bounds: ConnectionBounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_bounds, "MAX_CONNECTIONS", 3)
    several = added(bounds, 3)
    for connection in several:
        bounds.busy(connection)

    several += added(bounds, 2)

    # Of those that wait, the first one goes.
    assert still_open(several) == [0, 1, 2, 4]


async def test_socket_without_credentials_takes_the_place_of_the_oldest_one(
    bounds: ConnectionBounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_bounds, "MAX_UNIDENTIFIED", 2)
    several = [Connection() for _ in range(4)]
    for connection in several[:2]:
        bounds.unidentified(connection)
    bounds.identified(several[0])

    for connection in several[2:]:
        bounds.unidentified(connection)

    assert still_open(several) == [0, 2, 3]


async def test_old_socket_without_credentials_goes_before_a_connection_that_waits_less_long(
    bounds: ConnectionBounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_bounds, "MAX_CONNECTIONS", 2)
    socket = Connection()
    bounds.add(socket)
    bounds.unidentified(socket)
    several = added(bounds, 3)

    assert not socket.is_open
    assert still_open(several) == [1, 2]


async def test_some_connections_are_kept_for_requests(
    bounds: ConnectionBounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        connection_bounds, "MAX_CONNECTIONS", connection_bounds.REQUEST_DESCRIPTORS + 2
    )
    several = added(bounds, 4)

    stays = [bounds.stay(connection) for connection in several]
    bounds.remove(several[0])
    bounds.waiting(several[1])

    assert stays == [True, True, False, False]
    assert bounds.stay(several[2])
    assert bounds.stay(several[3])


async def test_socket_without_credentials_makes_room_for_another_one(
    bounds: ConnectionBounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        connection_bounds, "MAX_CONNECTIONS", connection_bounds.REQUEST_DESCRIPTORS + 2
    )
    several = [Connection() for _ in range(4)]
    for connection in several[:2]:
        bounds.unidentified(connection)
        assert bounds.stay(connection)
    bounds.identified(several[1])

    assert bounds.stay(several[2])
    assert still_open(several) == [1, 2, 3]


async def test_those_who_hold_memory_for_longest_are_closed_when_all_hold_too_much(
    bounds: ConnectionBounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_bounds, "MAX_HELD_BYTES", 100)
    several = added(bounds, 4)
    bounds.hold(several[0], 30)
    bounds.hold(several[1], 30)
    bounds.hold(several[2], 30)
    bounds.hold(several[0], 0)
    bounds.hold(several[0], 10)

    bounds.hold(several[3], 31)

    assert still_open(several) == [0, 2, 3]


async def test_connection_that_holds_too_much_alone_is_closed(bounds: ConnectionBounds) -> None:
    several = added(bounds, 2)

    bounds.hold(several[0], connection_bounds.MAX_HELD_BYTES_EACH)
    bounds.hold(several[1], connection_bounds.MAX_HELD_BYTES_EACH + 1)

    assert still_open(several) == [0]


async def test_what_closed_connections_held_is_free_again(
    bounds: ConnectionBounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_bounds, "MAX_HELD_BYTES", 100)
    for _ in range(10):
        (connection,) = added(bounds, 1)
        bounds.hold(connection, 90)
        bounds.remove(connection)
        assert connection.is_open
