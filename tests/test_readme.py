"""The README and its neighbours say what is true: their snippets run, their tables are complete."""

import asyncio
import json
import os
import re
import shlex
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from starlette.routing import Mount, Route, WebSocketRoute
from typer.main import get_group

from app.commands.cli import cli
from app.main import create_app
from app.settings import PREFIX, Settings, load_settings
from tests.support.service import DEADLINE, Service

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]

# Not even the installed packages: the README promises that it takes nothing but python3.
PYTHON_ALONE = (sys.executable, "-I", "-S", "-")


def section(heading: str) -> str:
    """From a heading to the next one of the same rank or a higher one."""
    rank, _, _ = heading.partition(" ")
    _, _, rest = README.partition(f"\n{heading}\n")
    assert rest, f"The README has no {heading!r}."
    return re.split(rf"\n#{{1,{len(rank)}}} ", rest)[0]


def fences(language: str, text: str = README) -> list[str]:
    """The code blocks in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def here_document(text: str) -> str:
    """What the one command of a section is given on its standard input."""
    (script,) = re.findall(r"<<'END'\n(.*?)^END$", text, re.MULTILINE | re.DOTALL)
    return str(script)


def table(text: str) -> list[list[str]]:
    """The rows of the first table, without its head."""
    found = re.search(r"^\|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert found is not None
    rows = found[1].splitlines()
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def code(cell: str) -> list[str]:
    """What stands between code marks."""
    return re.findall(r"`([^`]+)`", cell)


@asynccontextmanager
async def started(
    command: Iterable[str], script: str, service: Service
) -> AsyncIterator[tuple[Process, asyncio.StreamReader]]:
    """A snippet that runs against the service, and what it prints."""
    environment = {**os.environ, "SERVICE": service.url, "PYTHONUNBUFFERED": "1"}
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, env=environment, cwd=ROOT
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(script.encode())
        process.stdin.write_eof()
        yield process, process.stdout
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def run_webhook_snippet(service: Service) -> str:
    script = here_document(section("## The first webhook by hand"))
    async with started(PYTHON_ALONE, script, service) as (process, output):
        printed = await asyncio.wait_for(output.read(), DEADLINE)
        assert await process.wait() == 0
    return printed.decode()


async def test_the_first_webhook_by_hand_is_a_member_in_graphql(service: Service) -> None:
    status, _, body = (await run_webhook_snippet(service)).partition(" ")

    assert status == "200"
    assert '"status":"success","outcome":"created"' in body
    (query,) = fences("graphql", section("## A query"))
    member = (await service.data(query))["member"]
    assert member["displayName"] == "Kari Nordmann"
    assert member["accessLevel"] == "PEER_MENTOR"
    assert member["organization"] == {"name": "HLF Oslo"}
    ((edge),) = member["syncLog"]["edges"]
    assert edge["node"]["status"] == "SUCCESS"


async def test_the_same_webhook_once_more_finds_nothing_to_change(service: Service) -> None:
    await run_webhook_snippet(service)

    assert json.loads((await run_webhook_snippet(service))[4:])["outcome"] == "unchanged"


async def test_the_query_for_curl_is_answered(service: Service) -> None:
    await run_webhook_snippet(service)
    (command,) = fences("sh", section("## A query"))
    words = shlex.split(command)
    url = words[2].replace("http://127.0.0.1:8000", service.url)
    headers = dict(
        words[index + 1].split(": ", 1) for index, word in enumerate(words) if word == "-H"
    )
    assert headers["Authorization"] == "Bearer $(./run token --operator)"
    headers["Authorization"] = f"Bearer {service.token()}"

    answer = await service.http.post(url, headers=headers, content=words[words.index("-d") + 1])

    (edge,) = answer.json()["data"]["members"]["edges"]
    assert edge["node"]["displayName"] == "Kari Nordmann"


async def test_the_subscription_for_graphiql_shows_the_webhook(service: Service) -> None:
    (subscription,) = fences("graphql", section("## A subscription"))
    async with service.subscribe(subscription) as stream:
        await stream.next("StreamHeartbeat")

        await run_webhook_snippet(service)

        change = await stream.next("MemberChange")
    assert change["operation"] == "ADDED"
    assert change["member"]["displayName"] == "Kari Nordmann"


async def test_the_subscription_for_the_terminal_prints_the_webhook(service: Service) -> None:
    script = here_document(section("## A subscription"))
    command = (sys.executable, "-", service.token())
    async with started(command, script, service) as (_, output):
        async with asyncio.timeout(DEADLINE):
            while b"StreamHeartbeat" not in await output.readline():
                pass

            await run_webhook_snippet(service)

            message = json.loads(await output.readline())
    change = message["payload"]["data"]["memberChanges"]
    assert change["member"] == {"displayName": "Kari Nordmann", "state": "ACTIVE"}


def test_every_setting_is_listed_with_its_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # Where no .env is.
    rows = table(section("## Settings"))
    listed = {code(name)[0]: default for name, default, _ in rows}
    assert list(listed) == [PREFIX + name.upper() for name in Settings.model_fields]
    defaults = load_settings()

    for name, default in listed.items():
        if default != "unset":
            monkeypatch.setenv(name, default.strip("`"))

    assert load_settings() == defaults
    unset = {name for name, default in listed.items() if default == "unset"}
    assert unset == {
        PREFIX + name.upper() for name in Settings.model_fields if getattr(defaults, name) is None
    }


def test_every_route_is_listed_and_no_other() -> None:
    listed = {
        code(route)[-1].removeprefix("GET ").removeprefix("POST ")
        for route, _ in table(section("## HTTP routes"))
    }

    routes = create_app(load_settings()).routes

    assert listed == {
        route.path for route in routes if isinstance(route, Mount | Route | WebSocketRoute)
    }


async def test_the_files_of_the_console_are_below_their_route(service: Service) -> None:
    assert "below `GET /web`" in section("## HTTP routes")
    for path in ("/web", "/web/"):
        assert (await service.http.get(service.url + path)).status_code == 404
    assert (ROOT / "console" / "web" / "public" / "icon.svg").is_file()


def test_every_command_is_listed() -> None:
    listed = {code(command)[0] for command, _ in table(section("## Commands"))}

    assert listed == {"./run", *(f"./run {name}" for name in get_group(cli).commands)}


def test_every_command_named_can_be_given() -> None:
    named = re.findall(r"\./run ([a-z-]+(?: [-\w.]+)*)", README)
    assert named

    for words in (text.split() for text in named):
        command = get_group(cli).commands[words[0]]
        with command.make_context(words[0], words[1:], resilient_parsing=False):
            pass


def test_every_path_on_the_map_exists() -> None:
    (tree,) = fences("text", section("## A map of the tree"))
    folder = ROOT
    for line in tree.splitlines():
        names = line[:24].replace(",", "").split()
        within = folder if line.startswith("  ") else ROOT
        for name in names:
            assert (within / name).exists(), line
        if not line.startswith("  "):
            folder = ROOT / names[0]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", prose)

    for target in targets:
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (document.parent / target.partition("#")[0]).exists(), target
