"""Several processes behind one port: shared work, reloads without a gap, deaths that are mended."""

import asyncio
import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.settings import Settings, SettingsError, load_settings
from tests.faults.process import ServiceProcess, until
from tests.support.builders import created
from tests.support.commands import run
from tests.support.service import DEADLINE, Service

pytestmark = pytest.mark.child_process

WORKERS = 2


@pytest.fixture
def process(postgres_url: str, tmp_path: Path) -> Iterator[ServiceProcess]:
    with ServiceProcess(postgres_url, tmp_path, workers=str(WORKERS)) as process:
        yield process


def children(process: ServiceProcess) -> set[int]:
    pid = process.process.pid
    return {int(it) for it in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


async def started(process: ServiceProcess) -> set[int]:
    """Starts it, and returns the ids of the workers."""
    process.start()
    await process.ready()

    async def all_serve() -> bool:
        async with httpx.AsyncClient(timeout=DEADLINE) as http:
            page = (await http.get(f"{process.url}/metrics")).text
        return len(set(re.findall(r'worker="(\d+)"', page))) == WORKERS

    await until(all_serve)
    return children(process)


def client_of(process: ServiceProcess, http: httpx.AsyncClient) -> Service:
    return Service(process.url, http, Settings())


async def test_metrics_of_all_workers_are_on_one_page(process: ServiceProcess) -> None:
    await started(process)
    delivered = 0
    counted: Counter[str] = Counter()

    async def both_have_served() -> bool:
        nonlocal delivered
        # Connections of their own, which the kernel gives to either worker.
        async with httpx.AsyncClient(timeout=DEADLINE) as http:
            await client_of(process, http).tell(created(f"Member {delivered}"))
            delivered += 1
            page = (await http.get(f"{process.url}/metrics")).text
        counted.clear()
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                if sample.name == "likeperson_deliveries_total":
                    counted[sample.labels["worker"]] += int(sample.value)
        return set(counted) == {"0", "1"}

    await until(both_have_served)

    assert sum(counted.values()) == delivered


async def test_change_that_one_worker_stores_reaches_subscribers_of_all(
    process: ServiceProcess,
) -> None:
    await started(process)
    query = "subscription { memberChanges { __typename } }"
    async with httpx.AsyncClient(timeout=DEADLINE) as http:
        service = client_of(process, http)
        async with (
            service.subscribe(query) as one,
            service.subscribe(query) as two,
            service.subscribe(query) as three,
        ):
            for stream in (one, two, three):
                await stream.next("StreamHeartbeat")
            await service.tell(created("Kari"))
            for stream in (one, two, three):
                await stream.next("MemberChange")


async def test_reload_replaces_all_workers_and_turns_no_sender_away(
    process: ServiceProcess,
) -> None:
    before = await started(process)
    answers: list[int] = []
    done = asyncio.Event()

    async def send(name: str) -> None:
        # As Dataverse sends: a connection that is kept, and used again until it is closed.
        async with httpx.AsyncClient(timeout=DEADLINE) as http:
            service = client_of(process, http)
            number = 0
            while not done.is_set():
                number += 1
                answers.append((await service.deliver(created(f"{name} {number}"))).status_code)

    senders = [asyncio.create_task(send(f"Sender {it}")) for it in range(5)]
    process.process.send_signal(signal.SIGHUP)

    async def all_are_new() -> bool:
        now = children(process)
        return len(now) == WORKERS and not now & before

    await until(all_are_new)
    done.set()
    await asyncio.gather(*senders)

    assert set(answers) == {200}, Counter(answers)
    async with httpx.AsyncClient(timeout=DEADLINE) as http:
        found = await client_of(process, http).data("{ members { totalCount } }")
    assert found["members"]["totalCount"] == len(answers)
    assert await process.terminate() == 0
    assert process.complaints() == []


async def test_worker_that_is_killed_is_started_again(process: ServiceProcess) -> None:
    before = await started(process)
    victim = min(before)

    os.kill(victim, signal.SIGKILL)

    async def is_replaced() -> bool:
        return len(children(process)) == WORKERS and victim not in children(process)

    await until(is_replaced)
    await process.ready()
    assert before - {victim} <= children(process)


async def test_workers_that_cannot_start_leave_the_old_ones_alone(
    process: ServiceProcess, tmp_path: Path
) -> None:
    before = await started(process)
    (tmp_path / ".env").write_text("LIKEPERSON_LOG_LEVEL=loud\n")

    process.process.send_signal(signal.SIGHUP)

    async def is_told() -> bool:
        return "The old ones go on" in process.log_file.read_text()

    await until(is_told)
    assert "LIKEPERSON_LOG_LEVEL" in process.log_file.read_text()
    assert children(process) == before
    assert await process.readiness() == 200


async def test_workers_end_with_their_supervisor_even_when_it_is_killed(
    process: ServiceProcess,
) -> None:
    workers = await started(process)

    process.kill()

    async def all_are_gone() -> bool:
        return not any(_is_running(it) for it in workers)

    await until(all_are_gone)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


async def test_first_workers_that_cannot_start_end_everything(
    postgres_url: str, tmp_path: Path
) -> None:
    """The documents are read by the workers, not by their supervisor."""
    done = await run(
        tmp_path,
        *("serve", "--port", "0", "--workers", "2"),
        database_url=postgres_url,
        documents_folder=str(tmp_path / "none"),
    )

    assert done.code == 1
    assert "A worker process could not start" in done.err


def test_several_workers_on_sqlite_are_refused() -> None:
    with pytest.raises(SettingsError, match="LIKEPERSON_WORKERS: SQLite"):
        load_settings(workers=2)
