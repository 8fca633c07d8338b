"""A receiver, a client and a clock that stands until it is told to go on."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from sync.simulator.keep_alive import portal_client
from sync.simulator.portal import Portal
from tests.sync.simulator.receiver import Receiver, running_receiver


class SteppingClock:
    """Every reading is `step` later than the one before."""

    def __init__(self, step: timedelta = timedelta(seconds=1)) -> None:
        self.time = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
        self.step = step

    def __call__(self) -> datetime:
        self.time += self.step
        return self.time


@pytest.fixture
def portal() -> Portal:
    return Portal(7, SteppingClock())


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with portal_client(8) as opened:
        yield opened


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with running_receiver() as running:
        yield running
