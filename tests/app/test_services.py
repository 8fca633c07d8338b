"""What an application runs on."""

import gc
from collections import deque
from collections.abc import Iterator

import pytest

from app.services import open_services
from app.settings import Settings

OPEN_AT_ONCE = 100_000
OPENED = 2_000_000


class Connection:
    """Refers to itself, as the real ones do in many ways."""

    open = 0
    __slots__ = ("itself",)

    def __init__(self) -> None:
        self.itself = self
        Connection.open += 1

    def __del__(self) -> None:
        Connection.open -= 1


@pytest.fixture
def _own_garbage_collector() -> Iterator[None]:
    """What the service sets is for its process, in which other tests run here."""
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


@pytest.mark.usefixtures("_own_garbage_collector")
async def test_what_closed_connections_leave_behind_is_given_back(sqlite_url: str) -> None:
    async with open_services(Settings(database_url=sqlite_url)):
        standing: deque[Connection] = deque(maxlen=OPEN_AT_ONCE)
        for _ in range(OPENED):
            standing.append(Connection())

        assert Connection.open < OPENED * 3 / 4
