"""Programs of the project as processes of their own, which a test may kill. None outlives its
`with` block."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self

import httpx

from app.settings import PREFIX

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
"""Seconds after which something that is waited for counts as never happening."""


class Program:
    """`python -m app ARGS` on one database. What it says is appended to a file."""

    def __init__(self, database_url: str, folder: Path, *args: str, **settings: str) -> None:
        self._args = args
        self._folder = folder
        self._environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith(PREFIX)},
            f"{PREFIX}DATABASE_URL": database_url,
            **{f"{PREFIX}{name.upper()}": text for name, text in settings.items()},
            # Not started in the root, where somebody may have an .env of their own.
            "PYTHONPATH": str(ROOT),
        }
        self.log_file = folder / f"{args[0]}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    def start(self) -> None:
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- our own program
                [sys.executable, "-m", "app", *self._args],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """With SIGKILL; does nothing when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def terminate(self) -> int:
        """With SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int:
        """The exit code."""

        async def has_ended() -> bool:
            return self.process.poll() is not None

        await until(has_ended)
        return self.process.wait()

    def complaints(self) -> list[str]:
        """The lines of its log that tell of something nobody expected."""
        lines = self.log_file.read_text(errors="replace").splitlines()
        return [line for line in lines if _is_complaint(line)]


class ServiceProcess(Program):
    """`likeperson-sync serve`, at the same URL whenever it is started."""

    def __init__(self, database_url: str, folder: Path, **settings: str) -> None:
        self.port = _quiet_port()
        super().__init__(database_url, folder, "serve", "--port", str(self.port), **settings)
        self.url = f"http://127.0.0.1:{self.port}"

    async def ready(self) -> None:
        async def is_ready() -> bool:
            return await self.readiness() == httpx.codes.OK

        await until(is_ready)

    async def unready(self) -> None:
        async def is_unready() -> bool:
            return await self.readiness() == httpx.codes.SERVICE_UNAVAILABLE

        await until(is_unready)

    async def readiness(self) -> int | None:
        """What /readyz answers; None: nobody is there."""
        assert self.process.poll() is None, self.log_file.read_text(errors="replace")[-3000:]
        try:
            async with httpx.AsyncClient(timeout=PATIENCE) as http:
                return (await http.get(f"{self.url}/readyz")).status_code
        except httpx.TransportError:
            return None

    def unread(self) -> list[int]:
        """For each open connection, how many bytes the service has not read yet."""
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        mine, established = f":{self.port:04X}", "01"
        return [
            int(queues.partition(":")[2], 16)
            for _, local, _, state, queues, *_ in lines
            if local.endswith(mine) and state == established
        ]

    def resident_mib(self) -> float:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        # Other processes set no event of ours.
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def _is_complaint(line: str) -> bool:
    return any(word in line for word in (" ERROR ", " CRITICAL ", "Traceback", "Warning:"))


def _quiet_port() -> int:
    """Below those that the system hands out, so that nobody takes it while the service is down."""
    chance = random.SystemRandom()
    while True:
        port = chance.randrange(12_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
