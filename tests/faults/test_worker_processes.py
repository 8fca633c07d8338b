"""A day of several workers behind one port: a reload, an upgrade, a death, and a database that is
restarted, with senders and subscribers all the while."""

import asyncio
import os
import random
import signal
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from app.auth.own_tokens import mint
from app.settings import Settings
from db.migrate import expected_revision
from tests.app.workers.test_workers import children
from tests.faults.evidence import check_promises, figures
from tests.faults.process import ServiceProcess, until
from tests.faults.senders import Senders
from tests.faults.test_live import stopped
from tests.faults.test_postgres_outages import session_on
from tests.faults.watchers import Watcher
from tests.support.postgres import PostgresCluster

pytestmark = pytest.mark.child_process

WORKERS = 2
STEP = 60
UPGRADE = """
CREATE TABLE of_the_next_release (id bigint PRIMARY KEY);
ALTER TABLE members ADD COLUMN of_the_next_release text;
ALTER TABLE sync_log ADD COLUMN of_the_next_release text NOT NULL DEFAULT '';
UPDATE schema_compatibility SET oldest = '{}';
UPDATE alembic_version SET version_num = '9999'
"""


@pytest.mark.usefixtures("long_only")
async def test_nothing_is_lost_or_missed_in_a_day_of_operation(
    fragile_postgres: PostgresCluster, fragile_url: str, tmp_path: Path, long: bool
) -> None:
    chance = random.Random(11)  # noqa: S311
    token = mint(Settings(), "test", operator=True, lifetime=timedelta(hours=1))
    with ServiceProcess(fragile_url, tmp_path, workers=str(WORKERS)) as service:
        service.start()
        await service.ready()
        watchers = [
            Watcher([service.url], token, lambda _id, _facts: True, chance)
            for _ in range(200 if long else 20)
        ]
        await asyncio.gather(*(watcher.begin() for watcher in watchers))
        watching = [asyncio.create_task(watcher.watch()) for watcher in watchers]

        async def reload() -> None:
            before = children(service)
            service.process.send_signal(signal.SIGHUP)

            async def all_are_new() -> bool:
                return len(children(service)) == WORKERS and not before & children(service)

            await until(all_are_new)

        async def upgrade() -> None:
            async with session_on(fragile_url) as session:
                await session.execute(UPGRADE.format(expected_revision()))
            assert await service.readiness() == httpx.codes.OK

        async def restart_the_database() -> None:
            await asyncio.to_thread(fragile_postgres.restart)
            await service.ready()

        async def kill_a_worker() -> None:
            victim = max(children(service))
            os.kill(victim, signal.SIGKILL)

            async def is_replaced() -> bool:
                return len(children(service)) == WORKERS and victim not in children(service)

            await until(is_replaced)

        async with Senders(service.url, 20, chance) as senders:
            senders.go()
            for event in (reload, upgrade, reload):
                await senders.acknowledgements(STEP)
                await event()
            await senders.acknowledgements(STEP)
            # Up to here nobody was turned away, and nobody saw a connection break.
            assert set(senders.answers) == {200}
            assert senders.broken == 0
            await restart_the_database()
            await senders.acknowledgements(STEP)
            await kill_a_worker()
            await senders.acknowledgements(STEP)

        assert set(senders.answers) <= {200, 503}
        found = await check_promises(fragile_url, senders)
        due = watchers[0].expected(found.changes, 0)

        async def all_told() -> bool:
            return all(len(watcher.told) >= len(due) for watcher in watchers)

        with suppress(TimeoutError):
            await until(all_told)
        await stopped(watching)
        assert await service.terminate() == 0

    for number, watcher in enumerate(watchers):
        # Who connected while the database was away was asked to try again.
        others = [it for it in watcher.surprises if "Try again later" not in str(it)]
        assert others == [], number
        assert watcher.told == due, number
    print(figures(senders, found), f"{len(watchers)} subscribers")  # noqa: T201
