"""Checks of this machine: files and rights, the disk, open files, the console's pages."""

import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

from app.doctor.diagnosis import Diagnosis, doubtful, wrong
from app.main import STATIC
from app.settings import Settings
from app.storage import GIB, NEEDED_FREE, existing_folder, free_at
from db.driver.urls import sqlite_file

_AREA = "machine"
_WANTED_FREE = 2 * GIB
_WANTED_DESCRIPTORS = 4096


def machine(settings: Settings) -> Iterator[Diagnosis]:
    file = sqlite_file(settings.database_url)
    if file is not None:
        yield from _database_file(file)
        yield _disk(file)
    yield _descriptors()
    yield _pages()


def _database_file(file: Path) -> Iterator[Diagnosis]:
    folder = existing_folder(file.parent)
    if not os.access(folder, os.W_OK | os.X_OK):
        yield wrong(
            _AREA,
            f"The folder {folder} cannot be written",
            "Give it to the user that the service runs as; SQLite keeps files beside the database.",
        )
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except FileNotFoundError:
        yield Diagnosis(_AREA, f"{file} does not exist yet; `serve` creates it")
        return
    except OSError as error:
        advice = "Give the file and its folders to the user that the service runs as."
        yield wrong(_AREA, f"{file} cannot be looked at: {error.strerror}", advice)
        return
    if not os.access(file, os.R_OK | os.W_OK):
        advice = "Give the file to the user that the service runs as."
        yield wrong(_AREA, f"{file} cannot be read and written", advice)
    elif mode & (stat.S_IRGRP | stat.S_IROTH):
        advice = f"It holds personal data: run `chmod 600 {file}`."
        yield doubtful(_AREA, f"{file} can be read by other users (mode {mode:04o})", advice)
    else:
        yield Diagnosis(_AREA, f"{file} belongs to the service alone")


def _disk(file: Path) -> Diagnosis:
    folder = existing_folder(file.parent)
    free = free_at(folder)
    what = f"{free / GIB:.1f} GiB are free at {folder}"
    if free < NEEDED_FREE:
        return wrong(_AREA, what, "Make room: with a full disk, every delivery is answered 503.")
    size = file.stat().st_size if file.is_file() else 0
    if free < max(_WANTED_FREE, size):
        return doubtful(_AREA, what, "Make room for the database to grow, and for its backups.")
    return Diagnosis(_AREA, what)


def _descriptors() -> Diagnosis:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _WANTED_DESCRIPTORS:
        return doubtful(
            _AREA,
            f"A process may have {hard} open files, so at most {max(hard - 64, 0)} connections",
            "Raise the limit, such as by LimitNOFILE=20100 in systemd.",
        )
    return Diagnosis(_AREA, "Enough files may be open for the connections of clients")


def _pages() -> Diagnosis:
    if (STATIC / "web" / "index.html").is_file():
        return Diagnosis(_AREA, "The pages of the console are built")
    advice = "Install the package from a wheel, or let `./run` build them."
    return wrong(_AREA, f"The pages of the console are missing in {STATIC}", advice)
