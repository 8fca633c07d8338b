"""What ./run and ./test share: the way from a bare Python to a program of the installed project.

Standard library only, and only syntax that an old Python can read, for it is told that it is old.
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
UV_VERSION = "0.13.9"
# The last file that console/build.py writes.
PAGES_ARE_BUILT = ROOT / "app" / "static" / "console-inputs.sha256"


class BootstrapError(Exception):
    """The project could not be installed; the message is for whoever typed the command."""


@contextmanager
def plain_endings() -> Iterator[None]:
    """Ends without a traceback what was interrupted or could not be installed."""
    try:
        yield
    except BootstrapError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def install(*dependencies: str) -> None:
    """Brings .venv to what uv.lock says, in silence when it is there already.

    Takes the arguments of `uv sync` that say which dependencies are meant, and moves to the root.
    """
    os.chdir(ROOT)
    tools = ROOT / ".tools"
    # Named for its version and platform, and there only when complete.
    uv = tools / f"uv-{UV_VERSION}-{platform.system()}-{platform.machine()}".lower()
    sync = [str(uv), "sync", "--frozen", *dependencies]
    if _is_installed(uv, sync):
        return
    tools.mkdir(exist_ok=True)
    with (tools / "install.lock").open("w") as lock:
        # Of several first starts at once, one installs; the others wait and find it done.
        fcntl.flock(lock, fcntl.LOCK_EX)
        # If this process is killed, what it started goes on, and holds the lock while it does.
        os.set_inheritable(lock.fileno(), True)
        if not uv.exists():
            _fetch_uv(uv)
        if not _is_installed(uv, sync):
            _sync(sync)


def _is_installed(uv: Path, sync: "list[str]") -> bool:
    return uv.exists() and PAGES_ARE_BUILT.exists() and _succeeds(*sync, "--check", "-qq")


def _sync(sync: "list[str]") -> None:
    if not venv().exists():
        _say("First start: installing what is needed, which later starts find in place.")
    if not PAGES_ARE_BUILT.exists():
        # They are made when the project is installed, but uv does not look after them.
        sync = [*sync, "--reinstall-package", "likeperson-sync"]
    # Compiled at once on all cores, rather than one import after the other in the first start.
    if not _succeeds(*sync, "--compile-bytecode"):
        raise BootstrapError("The project could not be installed; the reason stands above.")


def venv() -> Path:
    return ROOT / os.environ.get("UV_PROJECT_ENVIRONMENT", ".venv")


def environment() -> dict[str, str]:
    """The environment of a program in .venv, as if that were activated."""
    path = os.pathsep.join([str(venv() / "bin"), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "VIRTUAL_ENV": str(venv()), "PATH": path}


def become(program: str, *args: str) -> NoReturn:
    """Turns this process into a program of .venv, so that signals reach that program itself."""
    sys.stdout.flush()
    os.execve(venv() / "bin" / program, [program, *args], environment())  # noqa: S606 -- no shell


def _fetch_uv(uv: Path) -> None:
    _say(f"Fetching uv {UV_VERSION}, which installs the rest.")
    scratch = uv.parent / "fetching-uv"
    if scratch.exists():
        shutil.rmtree(scratch)  # Left by a start that was interrupted.
    if not _succeeds(sys.executable, "-m", "venv", str(scratch)):
        raise BootstrapError(
            f"{sys.executable} could not make a virtual environment;"
            " on Debian and Ubuntu it takes `apt install python3-venv`."
        )
    pip = [str(scratch / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    if not _succeeds(*pip, "install", "--only-binary=:all:", f"uv=={UV_VERSION}"):
        raise BootstrapError(f"uv {UV_VERSION} could not be fetched from PyPI; pip says why above.")
    (scratch / "bin" / "uv").replace(uv)
    shutil.rmtree(scratch)


def _succeeds(*command: str) -> bool:
    settings = {"UV_PYTHON_DOWNLOADS": "never"}
    if not venv().exists():
        settings["UV_PYTHON"] = sys.executable
    # An environment that happens to be activated is not the one meant here; uv would warn of it.
    inherited = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(command, env=inherited | settings, close_fds=False, check=False)
    return done.returncode == 0


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201 -- a command's words to its user
