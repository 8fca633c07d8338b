"""The programs of docs/build/clients.md run, and lose and repeat nothing across a restart."""

import asyncio
import json
import re
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.server import running
from app.settings import Settings
from schema.build import build_schema
from schema.engine.trusted_documents import document_id, read_manifest
from tests.support.builders import created, updated
from tests.support.javascript import NODE, PACKAGES, install_packages
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
            if b"alive" not in line:
                return line.decode().strip()

    async def line_of(self, name: str) -> str:
        line = await self.line()
        assert name in line
        return line


@asynccontextmanager
async def started(*command: str | Path, cwd: Path) -> AsyncIterator[Program]:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def person(name: str) -> dict[str, Any]:
    return created(name, profile={"givenName": name})


async def seen_across_a_restart(
    settings: Settings, cwd: Path, *command: str | Path
) -> tuple[list[str], list[str]]:
    """What the program prints: until the service goes away, and of what happens before it is back
    at its new place. Lines that say nothing of a member are left out."""
    async with AsyncExitStack() as stack:
        async with served(settings) as service:
            await service.tell(person("Kari"))
            url = f"{service.url}/graphql"
            starting = started(*command, url, service.token(), cwd=cwd)
            program = await stack.enter_async_context(starting)
            before = [await program.line_of("Kari")]
            await service.tell(person("Per"))
            before.append(await program.line_of("Per"))
        async with served(settings) as service:
            await service.tell(person("Mona"), updated("Kari", profile={"givenName": "Karin"}))
            after = [await program.line(), await program.line()]
    return before, after


async def test_dashboard_in_typescript_sees_every_change_once_across_a_restart(
    settings: Settings, tmp_path: Path
) -> None:
    install_packages()
    shutil.copy(EXAMPLES / "dashboard.ts", tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "node_modules").symlink_to(PACKAGES / "node_modules")

    before, after = await seen_across_a_restart(settings, tmp_path, NODE, "dashboard.ts")

    assert before == ['{"page":["Kari"]}', '{"ADDED":"Per"}']
    assert after == ['{"ADDED":"Mona"}', '{"UPDATED":"Karin"}']


async def test_report_in_python_sees_every_change_once_across_a_restart(
    settings: Settings, tmp_path: Path
) -> None:
    program = EXAMPLES / "report.py"

    before, after = await seen_across_a_restart(settings, tmp_path, sys.executable, program)

    assert before == ["members: Kari", "ADDED Per"]
    assert after == ["ADDED Mona", "UPDATED Karin"]


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
    assert fences("ts") == [(EXAMPLES / "dashboard.ts").read_text(encoding="utf-8")]
    assert fences("python") == [(EXAMPLES / "report.py").read_text(encoding="utf-8")]
