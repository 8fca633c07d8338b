"""A pooler before PostgreSQL: session mode works, transaction mode is refused at the start."""

import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from db.database import Database
from db.errors import PoolingError
from db.migrate import migrate, require_current_schema
from sync.recording.record import record_deliveries
from tests.faults.process import until
from tests.support.builders import created
from tests.support.opened import opened, row_counts
from tests.sync.recorded_events import delivery

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={port} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
"""
Pooled = Callable[[str], AbstractAsyncContextManager[str]]


@pytest.fixture
def pooled(postgres_url: str, tmp_path: Path) -> Pooled:
    """Returns the URL of a database behind PgBouncer in a pool mode."""
    if PGBOUNCER is None:
        pytest.skip("PgBouncer is not installed: apt-get install pgbouncer")
    program = PGBOUNCER

    @asynccontextmanager
    async def behind(mode: str) -> AsyncIterator[str]:
        url = make_url(postgres_url)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            listen = probe.getsockname()[1]
        file = tmp_path / "pgbouncer.ini"
        file.write_text(CONFIGURATION.format(port=url.port, listen=listen, mode=mode))
        arguments = [program, str(file)]
        if os.geteuid() == 0:
            # It refuses to run as root.
            for folder in (*tmp_path.parents, tmp_path)[-4:]:
                folder.chmod(folder.stat().st_mode | 0o055)
            arguments[1:1] = ["-u", "nobody"]
        with subprocess.Popen(  # noqa: ASYNC220, S603  (it starts at once)
            arguments, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        ) as bouncer:

            async def listens() -> bool:
                with socket.socket() as client:
                    return client.connect_ex(("127.0.0.1", listen)) == 0

            try:
                await until(listens)
                yield url.set(port=listen).render_as_string(hide_password=False)
            finally:
                bouncer.terminate()

    return behind


@pytest.mark.parametrize("start", [migrate, require_current_schema])
async def test_transaction_mode_is_refused_with_what_to_do(
    pooled: Pooled, start: Callable[[str], AbstractAsyncContextManager[None]]
) -> None:
    async with pooled("transaction") as url:
        with pytest.raises(PoolingError, match="pool_mode = session"):
            await start(url)  # type: ignore[misc]  # both are coroutines


async def test_in_session_mode_everything_works_under_our_settings(pooled: Pooled) -> None:
    async with pooled("session") as url:
        await require_current_schema(url)
        async with opened(url) as database:
            await record_deliveries(database, [delivery(created("Kari"), "evt_1")])
            counts = await row_counts(database)
            timeouts = await lock_timeouts(database)

    assert counts["members"] == 1
    assert timeouts == ["3s", "3s"]


async def lock_timeouts(database: Database) -> list[str]:
    """Returns the setting of a reader and of a writer."""
    show = text("SELECT current_setting('lock_timeout')")
    async with database.read() as reader:
        ((first,),) = (await reader._connection.execute(show)).all()
    async with database.write() as writer:
        ((second,),) = (await writer.run(show)).all()
    return [first, second]
