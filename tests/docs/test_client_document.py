"""The programs of docs/build/clients.md run, and lose and repeat nothing across a restart."""

import asyncio
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from signal import SIGKILL
from typing import Any

import httpx
import pytest

from app.server import running
from app.settings import Settings
from schema.build import build_schema
from schema.engine.stored.trusted_documents import document_id, read_manifest
from tests.support.builders import created, updated
from tests.support.javascript import NODE, NPM_CLI
from tests.support.service import DEADLINE, Service

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
TEXT = (ROOT / "docs" / "build" / "clients.md").read_text(encoding="utf-8")


def fences(language: str) -> list[str]:
    pattern = rf"^```{language}\n(.*?)^```$"
    return re.findall(pattern, TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture
def settings(sqlite_url: str) -> Settings:
    """On a port of its own, to come back to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return Settings(
        _env_file=None,  # type: ignore[call-arg]  # pydantic-settings takes it at run time
        database_url=sqlite_url,
        port=port,
        log_level="warning",
    )


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[Service]:
    async with running(settings) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        yield Service(url, http, settings)


class Program:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> str:
        """The next one that is about a member."""
        assert self._process.stdout is not None
        while True:
            line = await asyncio.wait_for(self._process.stdout.readline(), 3 * DEADLINE)
            assert line, "The program has ended."
            # npm begins by saying what it runs.
            if line.strip() and not line.startswith(b">") and b"alive" not in line:
                return line.decode().strip()

    async def line_of(self, name: str) -> str:
        line = await self.line()
        assert name in line
        return line


@asynccontextmanager
async def started(*command: str, cwd: Path, environment: dict[str, str]) -> AsyncIterator[Program]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        # A group of its own, since npm starts the program as its child.
        start_new_session=True,
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, SIGKILL)
        await process.wait()


def person(name: str) -> dict[str, Any]:
    return created(name, profile={"givenName": name})


async def seen_across_a_restart(
    settings: Settings, cwd: Path, environment: dict[str, str], *command: str
) -> tuple[list[str], list[str]]:
    """What the program prints: until the service goes away, and of what happens before it is back
    at its new place. Lines that say nothing of a member are left out."""
    async with AsyncExitStack() as stack:
        async with served(settings) as service:
            await service.tell(person("Kari"))
            url = f"{service.url}/graphql"
            starting = started(*command, url, service.token(), cwd=cwd, environment=environment)
            program = await stack.enter_async_context(starting)
            before = [await program.line_of("Kari")]
            await service.tell(person("Per"))
            before.append(await program.line_of("Per"))
        async with served(settings) as service:
            await service.tell(person("Mona"), updated("Kari", profile={"givenName": "Karin"}))
            after = [await program.line(), await program.line()]
    return before, after


def lines_of(example: str) -> tuple[str, str]:
    """Returns the line that installs an example, and the one that starts it, from its README."""
    readme = (EXAMPLES / example / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```sh\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    install, start = block.splitlines()
    return install, start


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Returns an environment in which `node` and `npm` are found: the wheel of Node.js has npm in
    another place."""
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(f'#!/bin/sh\nexec "{NODE}" "{NPM_CLI}" "$@"\n')
    npm.chmod(0o755)
    return {**os.environ, "PATH": f"{npm.parent}:{NODE.parent}:{os.environ['PATH']}"}


def installed(example: str, folder: Path, environment: dict[str, str]) -> list[str]:
    """Copies an example and installs it by its first line; returns the command of its second line,
    without the address and the token."""
    install, start = lines_of(example)
    unwanted = shutil.ignore_patterns("node_modules", "build", ".venv")
    shutil.copytree(EXAMPLES / example, folder, ignore=unwanted)
    done = subprocess.run(  # noqa: S602 -- a line of our README
        install,
        shell=True,
        cwd=folder,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    *command, url, token = shlex.split(start)
    assert (url, token) == ("http://127.0.0.1:8000/graphql", "TOKEN")
    return command


async def test_dashboard_in_typescript_sees_every_change_once_across_a_restart(
    settings: Settings, tmp_path: Path, environment: dict[str, str]
) -> None:
    folder = tmp_path / "dashboard"
    command = await asyncio.to_thread(installed, "dashboard", folder, environment)

    before, after = await seen_across_a_restart(settings, folder, environment, *command)

    assert before == ['{"page":["Kari"]}', '{"ADDED":"Per"}']
    assert after == ['{"ADDED":"Mona"}', '{"UPDATED":"Karin"}']


async def test_report_in_python_sees_every_change_once_across_a_restart(
    settings: Settings, tmp_path: Path, environment: dict[str, str]
) -> None:
    folder = tmp_path / "report"
    command = await asyncio.to_thread(installed, "report", folder, environment)

    before, after = await seen_across_a_restart(settings, folder, environment, *command)

    assert before == ["members: Kari", "ADDED Per"]
    assert after == ["ADDED Mona", "UPDATED Karin"]


@pytest.mark.parametrize("example", ["dashboard", "report"])
def test_lines_of_the_document_are_those_of_the_example(example: str) -> None:
    assert "\n".join(lines_of(example)) + "\n" in fences("sh")


def test_documents_of_the_mobile_client_can_be_executed_and_known() -> None:
    documents = build_schema().documents
    texts = fences("graphql")
    operations = [
        {"id": document_id(text), "name": "x", "type": "query", "body": text} for text in texts
    ]
    manifest = {
        "format": "apollo-persisted-query-manifest",
        "version": 1,
        "operations": operations,
    }

    known = read_manifest(json.dumps(manifest).encode())

    assert list(known.values()) == texts
    assert [documents.read(text).errors for text in texts] == [(), ()]


def test_programs_of_the_document_are_the_examples() -> None:
    assert fences("ts") == [(EXAMPLES / "dashboard" / "dashboard.ts").read_text(encoding="utf-8")]
    assert fences("python") == [(EXAMPLES / "report" / "report.py").read_text(encoding="utf-8")]
