"""The bell's contract, on every broker it can ring over, with the brokers taken away in between."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from importlib.util import find_spec
from typing import Protocol

import pytest
from broadcaster import Broadcast, BroadcastBackend, Event

from db.feed.bell import CHANNEL, BroadcastBell, backend_for, channel_of
from db.feed.bell_postgres import APPLICATION_NAME, QUEUE_LIMIT, PostgresBackend
from tests.support.brokers import RedisBroker, redis_binary
from tests.support.postgres import PostgresCluster

pytestmark = pytest.mark.child_process

DEADLINE = 15.0
A_MOMENT = 0.05


class Broker(Protocol):
    """A real server that can be taken away; its methods block."""

    @property
    def url(self) -> str: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def cut_connections(self) -> None: ...


class PostgresBroker:
    def __init__(self, cluster: PostgresCluster) -> None:
        self._cluster = cluster
        self.url = cluster.create_database("bell")

    def start(self) -> None:
        self._cluster.start()

    def stop(self) -> None:
        self._cluster.stop()

    def cut_connections(self) -> None:
        self._cluster.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"  # noqa: S608 - a constant
            f" WHERE application_name = '{APPLICATION_NAME}'"
        )


@pytest.fixture(scope="module")
def postgres_broker() -> Iterator[PostgresBroker]:
    with PostgresCluster() as cluster:
        yield PostgresBroker(cluster)


@pytest.fixture(scope="module")
def redis_broker() -> Iterator[RedisBroker]:
    binary = redis_binary()
    if binary is None or find_spec("redis") is None:
        pytest.skip("no Redis server or client here")
    broker = RedisBroker(binary)
    yield broker
    broker.stop()


@pytest.fixture(params=["postgres", "redis"])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Running, whatever the test before did to it."""
    broker: Broker = request.getfixturevalue(f"{request.param}_broker")
    broker.start()
    return broker


@pytest.fixture(params=["memory", "postgres", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return "memory://"
    broker: Broker = request.getfixturevalue(f"{request.param}_broker")
    broker.start()
    return broker.url


async def test_ring_is_heard_by_a_waiter_in_the_same_process(url: str) -> None:
    async with BroadcastBell(url) as bell:
        waiter = asyncio.create_task(bell.wait(0, DEADLINE))
        await asyncio.sleep(0)

        bell.ring(7)

        assert await waiter == 7
        assert bell.highest() == 7


async def test_waiter_who_saw_less_is_answered_at_once(url: str) -> None:
    async with BroadcastBell(url) as bell:
        bell.ring(7)

        assert await bell.wait(6, 0) == 7


async def test_waiter_with_nothing_new_returns_after_its_timeout(url: str) -> None:
    async with BroadcastBell(url) as bell:
        bell.ring(7)

        assert await bell.wait(7, A_MOMENT) == 7
        assert await bell.wait(8, A_MOMENT) == 7


async def test_lower_ring_is_no_news(url: str) -> None:
    async with BroadcastBell(url) as bell:
        bell.ring(7)
        bell.ring(3)

        assert bell.highest() == 7


async def test_nothing_has_rung_at_first(url: str) -> None:
    async with BroadcastBell(url) as bell:
        assert bell.highest() == 0
        assert await bell.wait(0, A_MOMENT) == 0


async def test_positions_of_another_feed_are_not_heard_over_the_same_broker(broker: Broker) -> None:
    ours, others = channel_of("ours"), channel_of("others")
    async with (
        BroadcastBell(broker.url, channel=ours) as here,
        BroadcastBell(broker.url, channel=ours) as there,
        BroadcastBell(broker.url, channel=others) as stranger,
        BroadcastBell(broker.url, channel=others) as their_neighbour,
    ):
        stranger.ring(1000)
        assert await their_neighbour.wait(0, DEADLINE) == 1000
        here.ring(7)

        assert await there.wait(0, DEADLINE) == 7


async def test_closing_leaves_no_task_behind(url: str) -> None:
    async with BroadcastBell(url) as bell:
        bell.ring(1)

    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_ring_is_heard_in_another_process(broker: Broker) -> None:
    async with BroadcastBell(broker.url) as here, BroadcastBell(broker.url) as there:
        here.ring(7)
        assert await there.wait(0, DEADLINE) == 7

        there.ring(8)
        assert await here.wait(7, DEADLINE) == 8


@pytest.mark.parametrize("rings", [10, 50])
async def test_concurrent_rings_arrive_as_the_highest(broker: Broker, rings: int) -> None:
    async def ring(bell: BroadcastBell, position: int) -> None:
        bell.ring(position)

    async with BroadcastBell(broker.url) as here, BroadcastBell(broker.url) as there:
        positions = range(1, rings + 1)
        await asyncio.gather(*(ring((here, there)[n % 2], n) for n in positions))

        assert await here.wait(rings - 1, DEADLINE) == rings
        assert await there.wait(rings - 1, DEADLINE) == rings


async def test_processes_that_start_together_all_hear(broker: Broker) -> None:
    async with AsyncExitStack() as stack:
        bells = [BroadcastBell(broker.url) for _ in range(5)]
        await asyncio.gather(*(stack.enter_async_context(bell) for bell in bells))

        bells[0].ring(7)

        assert await asyncio.gather(*(bell.wait(0, DEADLINE) for bell in bells)) == [7] * 5


async def test_what_is_not_a_position_is_ignored(broker: Broker) -> None:
    async with BroadcastBell(broker.url) as bell, _backend(broker.url) as backend:
        for message in ("", "nonsense", "-5", "1.5", "٣", "9" * 19, "9" * 5000, "7; 8", "3"):
            await backend.publish(CHANNEL, message)

        assert await bell.wait(0, DEADLINE) == 3


async def test_broker_away_at_start_is_no_obstacle(broker: Broker) -> None:
    broker.stop()

    async with BroadcastBell(broker.url) as here, BroadcastBell(broker.url) as there:
        here.ring(7)
        assert await here.wait(0, DEADLINE) == 7
        assert there.highest() == 0

        await asyncio.to_thread(broker.start)
        assert await there.wait(0, DEADLINE) == 7


async def test_rings_while_the_broker_is_away_arrive_when_it_is_back(broker: Broker) -> None:
    async with BroadcastBell(broker.url) as here, BroadcastBell(broker.url) as there:
        await asyncio.to_thread(broker.stop)

        for position in range(1, 11):
            here.ring(position)
        assert await here.wait(0, DEADLINE) == 10
        assert await there.wait(0, A_MOMENT) == 0

        await asyncio.to_thread(broker.start)
        assert await there.wait(9, DEADLINE) == 10


async def test_closing_while_the_broker_is_away_leaves_no_task_behind(broker: Broker) -> None:
    async with BroadcastBell(broker.url) as bell:
        await asyncio.to_thread(broker.stop)
        bell.ring(1)

    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_rings_are_heard_again_after_the_connections_are_cut(broker: Broker) -> None:
    async with BroadcastBell(broker.url) as here, BroadcastBell(broker.url) as there:
        for _ in range(3):
            await asyncio.to_thread(broker.cut_connections)

            assert await _is_heard(here, there)
            assert await _is_heard(there, here)


async def test_rings_are_heard_again_after_a_restart_of_the_broker(broker: Broker) -> None:
    async with BroadcastBell(broker.url) as here, BroadcastBell(broker.url) as there:
        await asyncio.to_thread(broker.stop)
        await asyncio.to_thread(broker.start)

        assert await _is_heard(here, there)
        assert await _is_heard(there, here)


async def test_outage_is_logged_at_its_two_ends_only(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    async with BroadcastBell(broker.url) as here, BroadcastBell(broker.url) as there:
        caplog.clear()
        await asyncio.to_thread(broker.stop)
        for position in range(1, 6):
            here.ring(position)
            # Long enough for several attempts.
            await there.wait(0, 2 * A_MOMENT)
        await asyncio.to_thread(broker.start)
        assert await there.wait(0, DEADLINE) == 5
        assert await _is_heard(there, here)

    warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert sum("is unreachable" in message for message in warnings) in (1, 2), "once per process"
    assert sum("is reachable again" in message for message in warnings) == len(warnings) / 2


async def test_deaf_connection_is_given_up_for_a_new_one() -> None:
    broker = OneRoomBroker(deaf_connections=1)

    async with BroadcastBell(
        "memory://", open_backend=broker.open, echo_seconds=A_MOMENT, patience=A_MOMENT
    ):
        async with asyncio.timeout(DEADLINE):
            await broker.heard.wait()

    assert broker.connections == 2


async def test_one_publish_is_in_flight_at_a_time() -> None:
    broker = OneRoomBroker()

    async with BroadcastBell("memory://", open_backend=broker.open) as bell:
        broker.published = ["0"]
        broker.slow = asyncio.Event()
        for position in range(1, 51):
            bell.ring(position)
            await asyncio.sleep(0)
        broker.slow.set()
        async with asyncio.timeout(DEADLINE):
            while broker.published[-1] != "50":
                await broker.publishing.acquire()

    assert broker.most_in_flight == 1
    assert broker.published[-1] == "50"
    assert len(broker.published) <= 3


async def test_publishing_pauses_after_each_ring_however_many_come() -> None:
    broker = OneRoomBroker()

    async with BroadcastBell("memory://", open_backend=broker.open, pause=DEADLINE) as bell:
        for position in range(1, 51):
            bell.ring(position)
            await asyncio.sleep(0)

    # The one of the start.
    assert broker.published == ["0"]


def test_url_without_a_bell_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="kafka"):
        BroadcastBell("kafka://127.0.0.1")


async def test_simultaneous_first_subscribers_all_get_the_message(
    postgres_broker: PostgresBroker,
) -> None:
    postgres_broker.start()

    async def first_message(broadcast: Broadcast) -> str:
        async with broadcast.subscribe("room") as subscriber:
            arrived.release()
            return str((await subscriber.get()).message)

    arrived = asyncio.Semaphore(0)
    async with Broadcast(backend=PostgresBackend(postgres_broker.url, "room")) as broadcast:
        readers = [asyncio.create_task(first_message(broadcast)) for _ in range(10)]
        for _ in readers:
            await arrived.acquire()
        await asyncio.gather(*(broadcast.publish("room", "hello") for _ in range(10)))

        async with asyncio.timeout(DEADLINE):
            assert await asyncio.gather(*readers) == ["hello"] * 10


async def test_full_queue_keeps_the_newest(postgres_broker: PostgresBroker) -> None:
    backend = PostgresBackend(postgres_broker.url, "room")

    for number in range(QUEUE_LIMIT + 3):
        backend._on_notify(None, 1, "room", str(number))

    assert await backend.next_published() == Event("room", "3")


class OneRoomBroker:
    """Counts what is done with it; its first connections may hear nothing."""

    def __init__(self, deaf_connections: int = 0) -> None:
        self.deaf_connections = deaf_connections
        self.connections = 0
        self.published: list[str] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.slow: asyncio.Event | None = None
        self.publishing = asyncio.Semaphore(0)
        self.heard = asyncio.Event()

    def open(self, url: str) -> BroadcastBackend:
        return OneRoomBackend(self)


class OneRoomBackend(BroadcastBackend):
    def __init__(self, broker: OneRoomBroker) -> None:
        self._broker = broker
        self._queue: asyncio.Queue[Event] = asyncio.Queue()

    async def connect(self) -> None:
        self._broker.connections += 1
        self._deaf = self._broker.connections <= self._broker.deaf_connections

    async def disconnect(self) -> None: ...

    async def subscribe(self, group: str) -> None: ...

    async def unsubscribe(self, group: str) -> None: ...

    async def publish(self, channel: str, message: str) -> None:
        broker = self._broker
        broker.published.append(message)
        broker.publishing.release()
        broker.in_flight += 1
        broker.most_in_flight = max(broker.most_in_flight, broker.in_flight)
        if broker.slow is not None:
            await broker.slow.wait()
        broker.in_flight -= 1
        if not self._deaf:
            self._queue.put_nowait(Event(channel, message))

    async def next_published(self) -> Event:
        event = await self._queue.get()
        self._broker.heard.set()
        return event


@contextlib.asynccontextmanager
async def _backend(url: str) -> AsyncIterator[BroadcastBackend]:
    backend = backend_for(url)
    await backend.connect()
    try:
        yield backend
    finally:
        await backend.disconnect()


async def _is_heard(speaker: BroadcastBell, listener: BroadcastBell) -> bool:
    """A ring may be lost while connections mend; one of the next must not be."""
    async with asyncio.timeout(DEADLINE):
        position = max(speaker.highest(), listener.highest())
        while listener.highest() <= position:
            speaker.ring(speaker.highest() + 1)
            await listener.wait(position, A_MOMENT)
    return True
