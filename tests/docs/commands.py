"""Runs the shell commands of a page as an operator would paste them, with `./run` in the folder."""

import asyncio
import os
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import dataclass
from pathlib import Path

from tests.support.commands import ROOT, START_SECONDS

DOCS = ROOT / "docs"


def blocks(page: str, heading: str) -> list[str]:
    """Returns the `sh` blocks below a heading, in order, without their indentation."""
    text = (DOCS / page).read_text(encoding="utf-8")
    _, _, rest = f"\n{text}".partition(f"\n{heading}\n")
    assert rest, f"{page} has no {heading!r}."
    rank = heading.partition(" ")[0]
    section = re.split(rf"\n#{{1,{len(rank)}}} ", rest)[0]
    found = re.findall(r"^( *)```sh\n(.*?)^ *```$", section, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


@dataclass(frozen=True)
class Shell:
    """A shell in a folder that has a `./run`, with settings of the service in its environment."""

    folder: Path
    environment: dict[str, str]

    def __post_init__(self) -> None:
        run = self.folder / "run"
        run.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m app "$@"\n')
        run.chmod(0o700)

    async def paste(self, commands: str, seconds: float = START_SECONDS) -> str:
        """Returns what they print. Every command must succeed, all of them within `seconds`."""
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-e", "-u", "-c", commands),
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **self.environment},
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), seconds)
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode == 0, f"{commands}\n{out.decode()}\n{err.decode()}"
        return out.decode()
