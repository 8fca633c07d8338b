"""Floods of everything a client can send: nobody else notices, and the memory comes back."""

import asyncio
import resource
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil
from pathlib import Path
from time import monotonic

import pytest

from app.auth.own_tokens import mint
from app.settings import Settings
from tests.faults.floods import FLOODS
from tests.faults.process import PATIENCE, ROOT, ServiceProcess, until
from tests.faults.wire import Attack, Connection, exchange, good_request
from tests.support.builders import created, guid

SECONDS = 4.0
HEALTH_SECONDS = 1.0
DELIVERY_SECONDS = 2.0
SLOWNESS = 4
"""How many times longer it may take here than on two quiet cores, since other tests run as well."""
MEMORY_MIB = 50
# Small objects that live on, such as parsed documents, lie scattered among those of the crowd.
MEMORY_AFTER_CROWD_MIB = 80
HOSTILE_CONNECTIONS = 10_000
HOSTILE_MIB = 300
HEALTHZ = Attack(b"GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n")
MANY = {"silent": 1500, "silent sockets": 1500, "bodies": 150}
"""How many connections of a kind, where not 20."""
WITH_A_TOKEN = [name for name, flood in FLOODS.items() if flood.socket]


@dataclass
class Waits:
    """How long others waited for their answers."""

    health: list[float] = field(default_factory=list)
    deliveries: list[float] = field(default_factory=list)

    @property
    def health_p99(self) -> float:
        return sorted(self.health)[ceil(len(self.health) * 0.99) - 1]

    def __str__(self) -> str:
        return (
            f"/healthz {len(self.health)} times, p99 {self.health_p99 * 1000:.0f} ms; "
            f"{len(self.deliveries)} deliveries, at most {max(self.deliveries) * 1000:.0f} ms"
        )


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """Guarded, on SQLite, for all floods one after the other."""
    folder = tmp_path_factory.mktemp("floods")
    url = f"sqlite+aiosqlite:///{folder}/likeperson.db"
    with ServiceProcess(url, folder, guarded="true") as service:
        service.start()
        asyncio.run(service.ready())
        yield service
        assert service.complaints() == []


def token_of_member(name: str) -> str:
    settings = Settings(_env_file=None)  # type: ignore[call-arg]  # pydantic-settings takes it
    return mint(settings, guid(name), operator=False, lifetime=timedelta(hours=1))


@asynccontextmanager
async def flooding(
    service: ServiceProcess, kind: str, connections: int, token: str | None
) -> AsyncIterator[None]:
    """A flood that has begun, from a process of its own."""
    arguments = [kind, str(service.port), str(connections), *([token] if token else [])]
    flood = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.floods", *arguments, cwd=ROOT, stdout=-1
    )
    try:
        assert flood.stdout is not None
        async with asyncio.timeout(PATIENCE):
            assert await flood.stdout.readline() == b"begun\n"
        yield
    finally:
        flood.kill()
        await flood.wait()


async def measured(service: ServiceProcess, seconds: float) -> Waits:
    """What others notice for so long, each with a connection of its own for every request."""
    waits = Waits()
    end = monotonic() + seconds

    async def ask(attack: Callable[[], Attack], waited: list[float], pause: float) -> None:
        while monotonic() < end:
            began = monotonic()
            answer = await exchange(service.port, attack())
            waited.append(monotonic() - began)
            assert answer is not None
            assert answer.status == 200
            await asyncio.sleep(pause)

    def delivery() -> Attack:
        name = f"{len(waits.deliveries)}-{monotonic()}"
        return Attack(good_request(b"evt_" + name.encode(), created(name)))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ask(lambda: HEALTHZ, waits.health, 0.01))
        tasks.create_task(ask(delivery, waits.deliveries, 0.1))
    return waits


async def memory_returns(service: ServiceProcess, before: float, within: float) -> None:
    async def has_returned() -> bool:
        return service.resident_mib() <= before + within

    await until(has_returned)


@pytest.mark.parametrize(
    ("kind", "token"),
    [(kind, None) for kind in FLOODS if kind != "subscribers"]
    + [(kind, "Kari") for kind in WITH_A_TOKEN],
)
async def test_nobody_else_notices_a_flood(
    service: ServiceProcess, kind: str, token: str | None
) -> None:
    told = await exchange(service.port, Attack(good_request(b"evt_kari", created("Kari"))))
    assert told is not None
    assert told.status == 200
    before = service.resident_mib()

    known = None if token is None else token_of_member(token)
    async with flooding(service, kind, MANY.get(kind, 20), known):
        waits = await measured(service, SECONDS)
        during = service.resident_mib()
    await memory_returns(service, before, MEMORY_MIB)

    print(f"{waits}; memory {before:.0f}, {during:.0f} MiB")  # noqa: T201
    assert waits.health_p99 < HEALTH_SECONDS * SLOWNESS
    assert max(waits.deliveries) < DELIVERY_SECONDS * SLOWNESS


async def test_descriptors_are_left_for_deliveries(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/likeperson.db"
    async with AsyncExitStack() as stack:
        service = stack.enter_context(ServiceProcess(url, tmp_path))
        service.start()
        await service.ready()
        resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, (1024, 1024))
        for _ in range(1200):
            silent = await Connection.opened(service.port)
            stack.callback(silent.close)

        waits = await measured(service, SECONDS)

        print(waits)  # noqa: T201
        assert service.complaints() == []


async def test_ten_thousand_hostile_connections_have_bounded_memory(
    tmp_path: Path, long_only: None
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/likeperson.db"
    with ServiceProcess(url, tmp_path, guarded="true") as service:
        service.start()
        await service.ready()
        await exchange(service.port, Attack(good_request(b"evt_kari", created("Kari"))))
        idle = service.resident_mib()
        most = idle

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, service.resident_mib())
                await asyncio.sleep(0.05)

        async with AsyncExitStack() as stack:
            watching = asyncio.create_task(watch())
            for kind in FLOODS:
                known = token_of_member("Kari") if kind in WITH_A_TOKEN else None
                share = HOSTILE_CONNECTIONS // len(FLOODS)
                await stack.enter_async_context(flooding(service, kind, share, known))
            waits = await measured(service, 60)
            watching.cancel()
        await memory_returns(service, idle, MEMORY_AFTER_CROWD_MIB)

        print(f"{waits}; memory {idle:.0f}, at most {most:.0f} MiB")  # noqa: T201
        assert most - idle < HOSTILE_MIB
        assert service.complaints() == []
