"""The product as a process of its own, started as an operator starts it."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx

from app.settings import PREFIX

COMMAND = Path(sys.executable).with_name("likeperson-sync")
ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
"""Seconds for a start or a stop: processes of their own are slow on a busy machine."""


def environment(database_url: str) -> dict[str, str]:
    return {
        **os.environ,
        # The code beside these tests, whatever the virtual environment has installed.
        "PYTHONPATH": str(ROOT),
        f"{PREFIX}DATABASE_URL": database_url,
    }


class Product:
    """`likeperson-sync serve` on a free port. `folder` is where it runs and where its log goes."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self.database_url = database_url
        self._folder = folder
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def log(self) -> str:
        return (self._folder / "log").read_text()

    def start(self) -> None:
        """Returns when it says that it is ready."""
        with (self._folder / "log").open("a") as log:
            self._process = subprocess.Popen(  # noqa: S603  (our own command)
                [COMMAND, "serve", "--port", str(self._port)],
                cwd=self._folder,
                env=environment(self.database_url),
                stdout=log,
                stderr=log,
            )
        give_up_at = time.monotonic() + PATIENCE
        while not self._is_ready():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < give_up_at, self.log()
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/readyz").status_code == 200
        return False

    def stop(self) -> None:
        """As a supervisor stops it."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Without any warning."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
