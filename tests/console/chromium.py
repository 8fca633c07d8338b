"""A Chromium for the tests: the one that is named, the machine's, or one from npm."""

import fcntl
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.javascript import NODE, PACKAGES, install_packages

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TOOLS = Path(__file__).resolve().parents[2] / ".tools"

# Without a font, a page has no text.
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>{fonts}</dir>
  <cachedir>{cache}</cachedir>
</fontconfig>
"""


@dataclass(frozen=True, slots=True)
class Chromium:
    program: str
    environment: dict[str, str] = field(default_factory=dict)


def find_chromium() -> Chromium:
    """Raises when there is none: a test that did not run has shown nothing."""
    if named := os.environ.get("CHROMIUM"):
        return Chromium(named)
    for name in NAMES:
        if program := shutil.which(name):
            return Chromium(program)
    return _from_npm()


def _from_npm() -> Chromium:
    install_packages()
    folder = TOOLS / "chromium"
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / "chromium.lock").open("w") as lock:
        # Of several processes at once, one unpacks it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder.mkdir(exist_ok=True)
        _forget_another_version(folder)
        done = subprocess.run(  # noqa: S603 -- our program
            [str(NODE), str(PACKAGES / "chromium.mjs")],
            env={**os.environ, "TMPDIR": str(folder)},
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise RuntimeError(f"The Chromium of npm could not be unpacked:\n{done.stderr}")
    fonts = folder / "fonts.conf"
    fonts.write_text(FONTS.format(fonts=folder / "fonts", cache=folder / "font-cache"))
    libraries = folder / "al2023" / "lib"
    return Chromium(
        done.stdout.strip(),
        {"LD_LIBRARY_PATH": str(libraries), "FONTCONFIG_FILE": str(fonts), "HOME": str(folder)},
    )


def _forget_another_version(folder: Path) -> None:
    """The package takes whatever Chromium it finds unpacked."""
    wanted = (PACKAGES / "node_modules/@sparticuz/chromium/package.json").read_text()
    stamp = folder / "package.json"
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder)
        folder.mkdir()
        stamp.write_text(wanted)
