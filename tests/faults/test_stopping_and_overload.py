"""The service is asked to stop under load, or gets more than it can take."""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import httpx
import pytest

from app.server import running
from app.settings import Settings
from db.driver.urls import sqlite_file
from db.errors import DatabaseUnavailableError
from db.vocabulary import SyncStatus
from sync.errors import OverloadedError
from sync.intake.queue import BATCH, MAX_WAITING, Intake
from sync.recording.deliveries import Delivery, Receipt
from tests.faults.evidence import check_promises, evidence
from tests.faults.process import PATIENCE, ServiceProcess, until
from tests.faults.senders import Senders
from tests.faults.wire import Connection, good_request
from tests.support.builders import created
from tests.support.service import DEADLINE, Service
from tests.sync.recorded_events import delivery


@asynccontextmanager
async def nobody_commits(url: str) -> AsyncIterator[None]:
    """For as long as the block runs; shorter than what the service bears."""
    if (file := sqlite_file(url)) is not None:
        with closing(
            sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        ) as connection:
            # In a thread: the service may be in this one, and about to end a transaction.
            await asyncio.to_thread(connection.execute, "BEGIN IMMEDIATE")
            yield
        return
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        async with connection.transaction():
            await connection.execute("SELECT position FROM feed_head FOR UPDATE")
            yield
    finally:
        await connection.close(timeout=5)


async def refuses_connections(service: ServiceProcess) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", service.port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def test_everything_recorded_was_answered_when_the_service_is_stopped_under_load(
    database_url: str, tmp_path: Path, long: bool
) -> None:
    chance = random.Random(4)  # noqa: S311
    with ServiceProcess(database_url, tmp_path) as service:
        async with Senders(service.url, 32 if long else 8, chance) as senders:
            for _ in range(20 if long else 1):
                service.start()
                await service.ready()
                senders.go()
                await senders.acknowledgements(50)
                code = await service.terminate()
                senders.pause()
                assert code == 0
        complaints = service.complaints()

    found = await check_promises(database_url, senders)
    assert found.recorded == {one.event_id for one in senders.acknowledged}
    assert set(senders.answers) <= {200, 503}
    assert senders.without_retry_after == 0
    assert complaints == []


async def test_deliveries_in_work_are_finished_and_new_ones_refused_when_the_service_is_stopped(
    sqlite_url: str, tmp_path: Path
) -> None:
    # SQLite bears a longer wait for the lock than the three seconds that are set on PostgreSQL,
    # so that a slow machine does not turn the wait into a refusal.
    requests = [good_request(b"evt_%d" % n, created(f"Member {n}")) for n in range(5)]
    with ServiceProcess(sqlite_url, tmp_path) as service:
        service.start()
        await service.ready()
        async with asyncio.TaskGroup() as tasks:
            async with nobody_commits(sqlite_url):
                connections = [await Connection.opened(service.port) for _ in requests]
                for connection, sent in zip(connections, requests, strict=True):
                    await connection.send(sent)
                await until(lambda: all_is_read(service, len(requests)))
                stopping = tasks.create_task(service.terminate())
                await until(lambda: refuses_connections(service))
            answers = [await connection.answer() for connection in connections]
        for connection in connections:
            connection.close()
        complaints = service.complaints()

    assert [answer.status for answer in answers] == [200] * 5
    assert stopping.result() == 0
    assert len((await evidence(sqlite_url)).recorded) == 5
    assert complaints == []


async def test_a_delivery_that_is_not_finished_in_time_is_to_be_sent_again(
    sqlite_url: str, blocked: "BlockedRecorder", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.server.GRACE_SECONDS", 1)
    monkeypatch.setattr("app.services.record_deliveries", lambda _, deliveries: blocked(deliveries))
    settings = Settings(database_url=sqlite_url, port=0, log_level="error")

    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        async with running(settings) as url:
            service = Service(url, http, settings)
            sending = asyncio.create_task(service.deliver(created("Kari")))
            await blocked.begun.wait()
            # The service finishes what it accepted, whoever still waits for it.
            sending.add_done_callback(lambda _: blocked.go_on.set())
        answer = await sending

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"


async def all_is_read(service: ServiceProcess, connections: int) -> bool:
    unread = service.unread()
    return len(unread) >= connections and not any(unread)


@pytest.fixture
def blocked() -> "BlockedRecorder":
    return BlockedRecorder()


class BlockedRecorder:
    """Records nothing until it is told to go on."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.batches: list[int] = []
        self.error: Exception | None = None

    async def __call__(self, deliveries: Sequence[Delivery]) -> list[Receipt]:
        self.batches.append(len(deliveries))
        self.begun.set()
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        return [Receipt(SyncStatus.SUCCESS) for _ in deliveries]


async def submitted(intake: Intake, count: int) -> list[asyncio.Task[Receipt]]:
    """So many deliveries, each handed over or turned away."""
    one = delivery(created("Kari"), "evt_1")
    tasks = [asyncio.create_task(intake.submit(one)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_what_waits_is_bounded_and_more_is_turned_away(blocked: BlockedRecorder) -> None:
    async with Intake(blocked) as intake:
        first = await submitted(intake, 1)
        await blocked.begun.wait()
        waiting = await submitted(intake, MAX_WAITING)
        refused = await submitted(intake, 10)
        assert not any(task.done() for task in (*first, *waiting))
        assert all(isinstance(task.exception(), OverloadedError) for task in refused)
        blocked.go_on.set()
        receipts = await asyncio.gather(*first, *waiting)

    assert len(receipts) == 1 + MAX_WAITING
    assert sum(blocked.batches) == 1 + MAX_WAITING
    assert max(blocked.batches) == BATCH


async def test_batches_beside_each_other_are_of_about_one_size(blocked: BlockedRecorder) -> None:
    async with Intake(blocked, at_once=2) as intake:
        tasks = await submitted(intake, 30)
        blocked.go_on.set()
        await asyncio.gather(*tasks)

    # The first two come before there is anything to share.
    assert blocked.batches == [1, 1, 15, 13]


@pytest.mark.parametrize("longest", [0.01, 1.5], ids=["until the next look", "and the one after"])
async def test_nothing_waits_without_end_and_what_was_accepted_is_recorded_all_the_same(
    blocked: BlockedRecorder, monkeypatch: pytest.MonkeyPatch, longest: float
) -> None:
    monkeypatch.setattr("sync.intake.queue.LONGEST_WAIT", longest)
    async with Intake(blocked) as intake:
        tasks = await submitted(intake, 3)
        await asyncio.wait(tasks, timeout=DEADLINE)
        blocked.go_on.set()

    assert all(isinstance(task.exception(), OverloadedError) for task in tasks)
    assert sum(blocked.batches) == 3


@pytest.mark.parametrize("error", [None, DatabaseUnavailableError("It is away.")])
async def test_a_sender_that_went_away_takes_the_answer_from_nobody(
    blocked: BlockedRecorder, error: Exception | None
) -> None:
    blocked.error = error
    async with Intake(blocked) as intake:
        tasks = await submitted(intake, 3)
        await blocked.begun.wait()
        tasks += await submitted(intake, 3)
        for going in (tasks[0], tasks[3]):
            going.cancel()
        blocked.go_on.set()
        async with asyncio.timeout(DEADLINE):
            answers = await asyncio.gather(*tasks, return_exceptions=True)

    staying = [answer for answer in answers if not isinstance(answer, asyncio.CancelledError)]
    assert len(staying) == 4
    assert {type(answer) for answer in staying} == {type(error) if error else Receipt}


async def test_a_closing_intake_finishes_what_it_accepted_and_takes_no_more(
    blocked: BlockedRecorder,
) -> None:
    intake = Intake(blocked)
    async with intake:
        accepted = await submitted(intake, 3)
        blocked.go_on.set()

    assert [task.result().status for task in accepted] == [SyncStatus.SUCCESS] * 3
    (refused,) = await submitted(intake, 1)
    assert isinstance(refused.exception(), OverloadedError)


async def test_a_sender_is_asked_to_come_back_when_too_much_is_waiting(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.intake.queue.MAX_WAITING", 10)
    service.http.timeout = PATIENCE
    async with asyncio.TaskGroup() as tasks:
        async with nobody_commits(service.settings.database_url):
            sending = [tasks.create_task(service.deliver(created(f"M {n}"))) for n in range(60)]
            done, _ = await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
        refused = [task.result() for task in done]

    assert {answer.status_code for answer in refused} == {503}
    assert {answer.headers["retry-after"] for answer in refused} == {"5"}
    answers = [task.result() for task in sending]
    assert {answer.status_code for answer in answers} == {200, 503}
    stored = (await evidence(service.settings.database_url)).recorded
    assert stored == {a.json()["id"] for a in answers if a.status_code == 200}
