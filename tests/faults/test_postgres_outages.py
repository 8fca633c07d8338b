"""PostgreSQL goes away in mid-load and comes back, loses its connections, or is slow."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import httpx
import pytest

from tests.faults.evidence import check_promises, figures
from tests.faults.process import ServiceProcess
from tests.faults.senders import Senders
from tests.support.builders import created
from tests.support.postgres import PostgresCluster, StopMode
from tests.support.service import Service

# A trigger at the very end of every transaction that writes to the feed: a slow commit.
SLOW_COMMITS = """
CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(0.1); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER slow_commits AFTER UPDATE ON feed_head
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION be_slow()
"""
END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.fixture
def service(fragile_url: str, tmp_path: Path) -> Iterator[ServiceProcess]:
    with ServiceProcess(fragile_url, tmp_path) as service:
        service.start()
        yield service


@asynccontextmanager
async def load(service: ServiceProcess, *, long: bool) -> AsyncIterator[Senders]:
    chance = random.Random(2)  # noqa: S311
    await service.ready()
    async with Senders(service.url, 32 if long else 8, chance) as senders:
        senders.go()
        await senders.acknowledgements(50)
        yield senders


@asynccontextmanager
async def session_on(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


async def check(service: ServiceProcess, url: str, senders: Senders) -> None:
    assert service.process.poll() is None
    assert set(senders.answers) <= {200, 503}
    assert senders.without_retry_after == 0
    assert senders.broken == 0
    assert service.complaints() == []
    print(figures(senders, await check_promises(url, senders)))  # noqa: T201


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_deliveries_are_put_off_while_postgresql_is_away_and_taken_when_it_is_back(
    service: ServiceProcess,
    fragile_postgres: PostgresCluster,
    fragile_url: str,
    mode: StopMode,
    long: bool,
) -> None:
    async with load(service, long=long) as senders:
        for _ in range(10 if long else 1):
            await asyncio.to_thread(fragile_postgres.stop, mode)
            await senders.refusals(20)
            await service.unready()
            assert await alive(service)
            await asyncio.to_thread(fragile_postgres.start)
            await service.ready()
            await senders.acknowledgements(50)

    await check(service, fragile_url, senders)


async def test_deliveries_are_put_off_or_taken_when_postgresql_ends_the_connections(
    service: ServiceProcess, fragile_url: str, long: bool
) -> None:
    async with load(service, long=long) as senders, session_on(fragile_url) as session:
        ended = 30 if long else 5
        for _ in range(ended):
            await session.execute(END_SESSIONS)
            await senders.acknowledgements(5 * senders.count)
        await service.ready()

    # What was under way, and at the most a batch or two that met another lost connection.
    assert senders.answers[503] <= ended * 3 * senders.count
    await check(service, fragile_url, senders)


async def test_whoever_asks_while_postgresql_is_away_is_asked_to_come_back(
    service: ServiceProcess, fragile_postgres: PostgresCluster
) -> None:
    await service.ready()
    async with httpx.AsyncClient() as http:
        client = Service(service.url, http)
        await client.tell(created("Kari"))
        known = {"Authorization": f"Bearer {client.token('Kari')}"}
        graphql = f"{service.url}/graphql"
        await asyncio.to_thread(fragile_postgres.stop, "fast")

        answers = [
            # Who asks has to be known before a stream begins.
            await http.post(
                graphql,
                json={"query": "subscription { viewerChanges { __typename } }"},
                headers={**known, "Accept": "text/event-stream"},
            ),
            await http.get(f"{service.url}/sign-in"),
        ]

    assert [answer.status_code for answer in answers] == [503, 503]
    assert all("retry-after" in answer.headers for answer in answers)
    assert all(answer.json()["errors"] for answer in answers[:1])
    assert service.complaints() == []


async def test_deliveries_share_the_wait_for_a_slow_commit(
    service: ServiceProcess, fragile_url: str, long: bool
) -> None:
    async with load(service, long=long) as senders:
        async with session_on(fragile_url) as session:
            await session.execute(SLOW_COMMITS)
        await senders.acknowledgements(20 * senders.count if long else 5 * senders.count)
        assert await alive(service)

    assert set(senders.answers) == {200}
    await check(service, fragile_url, senders)


@pytest.mark.usefixtures("long_only")
async def test_no_delivery_waits_without_end_for_a_postgresql_that_does_not_move(
    service: ServiceProcess, fragile_postgres: PostgresCluster, fragile_url: str
) -> None:
    async with load(service, long=True) as senders:
        with frozen(fragile_postgres):
            await senders.refusals(senders.count)
            await service.unready()
            assert await alive(service)
        await service.ready()
        await senders.acknowledgements(50)

    await check(service, fragile_url, senders)


@contextmanager
def frozen(cluster: PostgresCluster) -> Iterator[None]:
    """All of its processes stand still, as if its machine had gone without a word."""
    first = int((cluster._data / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    pids = [first, *map(int, children)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def alive(service: ServiceProcess) -> bool:
    async with httpx.AsyncClient() as http:
        return (await http.get(f"{service.url}/healthz")).is_success
