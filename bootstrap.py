"""Installs the project for ./run and ./test, from a bare Python, and starts its programs.

Uses the standard library only, and only syntax that an old Python can parse, so that an old Python
runs far enough to say that it is too old.
"""
# ruff: noqa: S603 -- the programs started here are named here

import fcntl
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

OLDEST_PYTHON = (3, 11)


def complaint_about(version: "tuple[int, int]") -> "str | None":
    if version >= OLDEST_PYTHON:
        return None
    return "Likeperson Sync needs Python {}.{} or newer; {} is Python {}.{}.".format(
        *OLDEST_PYTHON, sys.executable, *version
    )


_complaint = complaint_about(sys.version_info[:2])
if _complaint:
    sys.exit(_complaint)


ROOT = Path(__file__).resolve().parent
# The version of uv, with the hashes of all its wheels, as pip checks them.
UV_REQUIREMENT = ROOT / "uv-requirements.txt"
UV_VERSION = UV_REQUIREMENT.read_text().split()[0].partition("==")[2]
# The last file that console/build.py writes.
PAGES_ARE_BUILT = ROOT / "app" / "static" / "console-inputs.sha256"


class BootstrapError(Exception):
    """The project could not be installed. The message is for the person who typed the command."""


@contextmanager
def plain_endings() -> Iterator[None]:
    """Ends the program without a traceback after an interrupt or a failed installation."""
    try:
        yield
    except BootstrapError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def install(*dependencies: str) -> None:
    """Brings .venv to the state of uv.lock, and prints nothing when it is there already.

    Takes the arguments of `uv sync` that select dependencies. Makes the project's folder the
    current one.
    """
    os.chdir(ROOT)
    tools = ROOT / ".tools"
    sync = [str(uv()), "sync", "--frozen", *dependencies]
    if _is_installed(sync):
        return
    tools.mkdir(exist_ok=True)
    with (tools / "install.lock").open("w") as lock:
        # When several first starts run at once, one installs; the others wait and find it done.
        fcntl.flock(lock, fcntl.LOCK_EX)
        # If this process is killed, its children go on, and hold the lock while they do.
        os.set_inheritable(lock.fileno(), True)
        if not uv().exists():
            _fetch_uv(uv())
        if not _is_installed(sync):
            _sync(sync)


def uv() -> Path:
    """Returns the program uv, which exists only when it is complete."""
    return ROOT / ".tools" / f"uv-{UV_VERSION}-{platform.system()}-{platform.machine()}".lower()


def _is_installed(sync: "list[str]") -> bool:
    return uv().exists() and PAGES_ARE_BUILT.exists() and _succeeds(*sync, "--check", "-qq")


def _sync(sync: "list[str]") -> None:
    if not venv().exists():
        _say("First start: installing everything takes a minute or more. Later starts are fast.")
    if not PAGES_ARE_BUILT.exists():
        # The pages are built when the project is installed, and uv does not notice their absence.
        sync = [*sync, "--reinstall-package", "likeperson-sync"]
    # Compiling everything now, on all cores, is faster than import by import at the first start.
    if not _succeeds(*sync, "--compile-bytecode"):
        raise BootstrapError("The project could not be installed. The messages above say why.")


def venv() -> Path:
    return ROOT / os.environ.get("UV_PROJECT_ENVIRONMENT", ".venv")


def environment() -> dict[str, str]:
    """Returns the environment of a program in .venv, as if .venv were activated."""
    path = os.pathsep.join([str(venv() / "bin"), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "VIRTUAL_ENV": str(venv()), "PATH": path}


def become(program: str, *args: str) -> NoReturn:
    """Replaces this process by a program of .venv, so that signals reach that program."""
    sys.stdout.flush()
    os.execve(venv() / "bin" / program, [program, *args], environment())  # noqa: S606 -- no shell


def _fetch_uv(program: Path) -> None:
    _say(f"Fetching uv {UV_VERSION}, which installs the rest.")
    scratch = program.parent / "fetching-uv"
    if scratch.exists():
        shutil.rmtree(scratch)  # Left by a start that was interrupted.
    if not _succeeds(sys.executable, "-m", "venv", str(scratch)):
        raise BootstrapError(
            f"{sys.executable} could not create a virtual environment."
            " On Debian and Ubuntu, run `apt install python3-venv` first."
        )
    pip = [str(scratch / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    pinned = ["--only-binary=:all:", "--require-hashes", "-r", str(UV_REQUIREMENT)]
    if not _succeeds(*pip, "install", *pinned):
        raise BootstrapError(
            f"uv {UV_VERSION} could not be fetched from PyPI. The messages of pip above say why."
        )
    (scratch / "bin" / "uv").replace(program)
    shutil.rmtree(scratch)


def _succeeds(*command: str) -> bool:
    settings = {"UV_PYTHON_DOWNLOADS": "never"}
    if not venv().exists():
        settings["UV_PYTHON"] = sys.executable
    # uv would warn of another environment that happens to be activated.
    inherited = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(command, env=inherited | settings, close_fds=False, check=False)
    return done.returncode == 0


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201 -- a command's words to its user
