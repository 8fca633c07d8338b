"""Builds the pages of console/ into app/static/, unless they were built from the same inputs.

hatch_build.py starts it as `console/build.py NODE NPM-CLI.JS`, with paths into a wheel from PyPI.
"""

import fcntl
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# The last file that a build writes. Output without it is incomplete.
STAMP = "console-inputs.sha256"


class ConsoleBuildError(Exception):
    """A step failed; its own output on the terminal says why."""


@dataclass(frozen=True, slots=True)
class Node:
    """A Node.js and its npm."""

    node: Path
    npm_cli: Path

    def npm(self, *args: str, cwd: Path) -> None:
        # Scripts and the tools they start look for `node` on the PATH.
        path = os.pathsep.join([str(self.node.parent), os.environ.get("PATH", os.defpath)])
        # stdout belongs to the build backend, which talks to its front end there.
        done = subprocess.run(  # noqa: S603 -- the arguments are ours
            [str(self.node), str(self.npm_cli), *args],
            cwd=cwd,
            env={**os.environ, "PATH": path},
            stdout=sys.stderr,
            close_fds=False,
            check=False,
        )
        if done.returncode != 0:
            raise ConsoleBuildError(f"`npm {' '.join(args)}` failed in {cwd} ({done.returncode}).")


def output(root: Path = ROOT) -> Path:
    return root / "app" / "static"


def digest_of_inputs(root: Path = ROOT) -> str:
    """Returns a hash of the paths and bytes in console/, without what npm and Python put there."""
    console = root / "console"
    digest = hashlib.sha256()
    for file in sorted(_inputs(console)):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(console).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _inputs(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.name in {"node_modules", "__pycache__"}:
            continue
        if entry.is_dir():
            yield from _inputs(entry)
        else:
            yield entry


def digest_of_output(root: Path = ROOT) -> str | None:
    """Returns the hash of the inputs of the present output, or None without a complete output."""
    try:
        return (output(root) / STAMP).read_text()
    except FileNotFoundError:
        return None


def build(node: Node, root: Path = ROOT) -> bool:
    """Replaces the whole output if the inputs have changed, and returns whether it did.

    Concurrent builds wait for each other, and then find nothing left to do. A build that is killed
    leaves either the old output or none, never a part of one.
    """
    console = root / "console"
    with _lock(root):
        # Taken before the build, so that an edit during the build shows as a difference later.
        wanted = digest_of_inputs(root)
        if digest_of_output(root) == wanted:
            return False
        install_packages(node, console)
        made = _empty(_scratch(root) / "console-new")
        for page in json.loads((console / "package.json").read_bytes())["workspaces"]:
            build_page = ["run", "build", f"--workspace={page}", "--"]
            node.npm(*build_page, f"--outDir={made / page}", cwd=console)
        _compress(made)
        (made / STAMP).write_text(wanted)
        _put_in_place(made, root)
        return True


def install_packages(node: Node, console: Path) -> None:
    """Fills node_modules from the lock file, unless that was done already."""
    wishes = [console / "package-lock.json", console / "package.json"]
    wishes += sorted(console.glob("*/package.json"))
    digest = hashlib.sha256(b"\0".join(wish.read_bytes() for wish in wishes)).hexdigest()
    # In node_modules, because `npm ci` starts by deleting that.
    stamp = console / "node_modules" / ".installed.sha256"
    if stamp.exists() and stamp.read_text() == digest:
        return
    node.npm("ci", "--no-audit", "--no-fund", "--prefer-offline", cwd=console)
    stamp.write_text(digest)


def _compress(made: Path) -> None:
    """Puts a compressed copy beside every text that is large enough to gain from it."""
    for file in list(made.rglob("*")):
        if file.suffix in {".css", ".html", ".js", ".svg"} and file.stat().st_size > 1024:
            packed = gzip.compress(file.read_bytes(), mtime=0)
            file.with_name(f"{file.name}.gz").write_bytes(packed)


def _put_in_place(made: Path, root: Path) -> None:
    old = _empty(_scratch(root) / "console-old")
    if output(root).exists():
        output(root).rename(old / "static")
    made.rename(output(root))
    shutil.rmtree(old)


def _empty(folder: Path) -> Path:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    return folder


def _scratch(root: Path) -> Path:
    # On the output's file system, or the rename would be a copy.
    folder = root / ".tools"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def _lock(root: Path) -> Iterator[None]:
    with (_scratch(root) / "console.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        # An npm that outlives this process still writes for a moment, so it holds the lock as well.
        os.set_inheritable(file.fileno(), True)
        yield


def main() -> None:
    try:
        built = build(Node(*(Path(argument).resolve() for argument in sys.argv[1:])))
    except ConsoleBuildError as error:
        sys.exit(f"The web pages in console/ could not be built: {error}")
    if not built:
        print("The web pages are up to date.", file=sys.stderr)  # noqa: T201 -- the command's output


if __name__ == "__main__":
    main()
