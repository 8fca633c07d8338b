"""SQLite on a disk that is full, and then has room again."""

import random
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.faults.evidence import check_promises, figures
from tests.faults.process import ServiceProcess
from tests.faults.senders import Senders


class Disk(Protocol):
    folder: Path

    def fill(self, service: ServiceProcess) -> None: ...

    def make_room(self, service: ServiceProcess) -> None: ...


class SmallDisk:
    """A file system in memory, full of something else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self, service: ServiceProcess) -> None:
        with self._filler.open("wb", buffering=0) as filler:
            for size in (2**16, 2**12):
                try:
                    while filler.write(bytes(size)) == size:
                        pass
                except OSError:
                    continue

    def make_room(self, service: ServiceProcess) -> None:
        self._filler.unlink()


class SmallFiles:
    """No file of the service may grow any more: for whoever may not mount a file system."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, service: ServiceProcess) -> None:
        log_of_sqlite = next(self.folder.glob("*-wal"))
        _limit_files(service, log_of_sqlite.stat().st_size)

    def make_room(self, service: ServiceProcess) -> None:
        _limit_files(service, resource.RLIM_INFINITY)


def _limit_files(service: ServiceProcess, size: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (size, hard))


@pytest.fixture(params=["small disk", "small files"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "small files":
        if not hasattr(resource, "prlimit"):
            pytest.skip("only Linux limits the files of another process")
        yield SmallFiles(folder)
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, check=False, capture_output=True)  # noqa: S603
    except OSError:
        mounted = None
    if mounted is None or mounted.returncode != 0:
        pytest.skip("only root may mount a file system")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S603, S607


async def test_deliveries_are_put_off_while_the_disk_is_full_and_taken_when_there_is_room(
    disk: Disk, tmp_path: Path, long: bool
) -> None:
    url = f"sqlite+aiosqlite:///{disk.folder}/likeperson.db"
    chance = random.Random(3)  # noqa: S311
    with ServiceProcess(url, tmp_path) as service:
        service.start()
        await service.ready()
        async with Senders(service.url, 32 if long else 8, chance) as senders:
            senders.go()
            for _ in range(10 if long else 1):
                await senders.acknowledgements(100)
                disk.fill(service)
                await senders.refusals(40)
                await service.unready()
                disk.make_room(service)
                await service.ready()
                await senders.acknowledgements(50)
        complaints = service.complaints()
        log = service.log_file.read_text()
        found = await check_promises(url, senders)

    print(figures(senders, found))  # noqa: T201
    assert set(senders.answers) == {200, 503}
    assert senders.without_retry_after == 0
    assert senders.broken == 0
    assert complaints == []
    assert "commits in a row have failed" in log
    assert "SQLITE_FULL" in log or "SQLITE_IOERR" in log
    assert "Commits succeed again." in log
