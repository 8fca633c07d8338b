"""README.md and docs/ say what is true: their snippets run, their tables are complete."""

import asyncio
import json
import os
import re
import shlex
import sys
from asyncio.subprocess import PIPE
from contextlib import aclosing
from pathlib import Path

import httpx
import pytest
from starlette.routing import Mount, Route, WebSocketRoute
from typer.main import get_group

from app.commands.cli import cli
from app.main import create_app
from app.settings import PREFIX, Settings, load_settings
from tests.support.service import DEADLINE, Service

pytestmark = pytest.mark.child_process

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
ARCHITECTURE = "docs/maintain/architecture.md"
MAX_README_LINES = 150

# Not even the installed packages: the README promises that it takes nothing but python3.
PYTHON_ALONE = (sys.executable, "-I", "-S", "-")


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def section(heading: str, document: str = "README.md") -> str:
    """Returns what stands between a heading and the next one of the same rank or a higher one."""
    rank, _, _ = heading.partition(" ")
    _, _, rest = text_of(document).partition(f"\n{heading}\n")
    assert rest, f"{document} has no {heading!r}."
    return re.split(rf"\n#{{1,{len(rank)}}} ", rest)[0]


def fences(language: str, text: str) -> list[str]:
    """Returns the code blocks in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def here_document(text: str) -> str:
    """Returns what the one command of a section gets on its standard input."""
    (script,) = re.findall(r"<<'END'\n(.*?)^END$", text, re.MULTILINE | re.DOTALL)
    return str(script)


def table(text: str) -> list[list[str]]:
    """Returns the rows of the first table, without its head."""
    found = re.search(r"^\|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert found is not None
    rows = found[1].splitlines()
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def code(cell: str) -> list[str]:
    """Returns what stands between code marks."""
    return re.findall(r"`([^`]+)`", cell)


PLACES = table(section("## Where do I change …", ARCHITECTURE))


async def run_webhook_snippet(service: Service) -> str:
    script = here_document(section("## Send the first webhook"))
    process = await asyncio.create_subprocess_exec(
        *PYTHON_ALONE, stdin=PIPE, stdout=PIPE, env={**os.environ, "SERVICE": service.url}
    )
    printed, _ = await asyncio.wait_for(process.communicate(script.encode()), DEADLINE)
    assert process.returncode == 0
    return printed.decode()


def curl_request(command: str, service: Service) -> httpx.Request:
    """Builds the request that a `curl` command of the README would send."""
    words = shlex.split(command)
    headers = dict(
        words[index + 1].split(": ", 1) for index, word in enumerate(words) if word == "-H"
    )
    assert headers["Authorization"] == "Bearer $(./run token --operator)"
    headers["Authorization"] = f"Bearer {service.token()}"
    url = words[2].replace("http://127.0.0.1:8000", service.url)
    return httpx.Request("POST", url, headers=headers, content=words[words.index("-d") + 1])


def test_readme_stays_short() -> None:
    assert len(text_of("README.md").splitlines()) <= MAX_README_LINES


async def test_first_webhook_creates_a_member_that_the_query_shows(service: Service) -> None:
    status, _, body = (await run_webhook_snippet(service)).partition(" ")

    assert status == "200"
    assert '"status":"success","outcome":"created"' in body
    query, _ = fences("sh", section("## Ask and listen"))
    answer = await service.http.send(curl_request(query, service))
    ((edge),) = answer.json()["data"]["members"]["edges"]
    assert edge["node"] == {
        "displayName": "Kari Nordmann",
        "state": "ACTIVE",
        "accessLevel": "PEER_MENTOR",
        "organization": {"name": "HLF Oslo"},
    }


async def test_same_webhook_once_more_finds_nothing_to_change(service: Service) -> None:
    await run_webhook_snippet(service)

    assert json.loads((await run_webhook_snippet(service))[4:])["outcome"] == "unchanged"


async def test_subscription_shows_the_webhook(service: Service) -> None:
    _, subscription = fences("sh", section("## Ask and listen"))
    request = curl_request(subscription, service)
    async with aclosing(await service.http.send(request, stream=True)) as response:
        lines = response.aiter_lines()
        async with asyncio.timeout(DEADLINE):
            while "StreamHeartbeat" not in await anext(lines):
                pass

            await run_webhook_snippet(service)

            while "MemberChange" not in (line := await anext(lines)):
                pass
    change = json.loads(line.removeprefix("data: "))["data"]["memberChanges"]
    assert change["operation"] == "ADDED"
    assert change["member"] == {"displayName": "Kari Nordmann", "state": "ACTIVE"}


def test_every_setting_is_listed_with_its_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # Where no .env is.
    rows = table(text_of("docs/operate/settings.md"))
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
        for route, _ in table(text_of("docs/operate/routes.md"))
    }

    routes = create_app(load_settings()).routes

    assert listed == {
        route.path for route in routes if isinstance(route, Mount | Route | WebSocketRoute)
    }


async def test_every_metric_is_listed_and_no_other(service: Service) -> None:
    rows = table(text_of("docs/operate/metrics.md"))

    page = (await service.http.get(f"{service.url}/metrics")).text

    types = dict(re.findall(r"^# TYPE (likeperson_\w+) (\w+)$", page, re.MULTILINE))
    assert {code(name)[0]: type for name, type, *_ in rows} == types


async def test_the_files_of_the_console_are_below_their_route(service: Service) -> None:
    assert "below `GET /web`" in text_of("docs/operate/routes.md")
    for path in ("/web", "/web/"):
        assert (await service.http.get(service.url + path)).status_code == 404
    assert (ROOT / "console" / "web" / "public" / "icon.svg").is_file()


def test_every_command_is_listed() -> None:
    listed = {code(command)[0] for command, _ in table(text_of("docs/operate/commands.md"))}

    assert listed == {"./run", *(f"./run {name}" for name in get_group(cli).commands)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_command_named_can_be_given(document: Path) -> None:
    pattern = r'\./run ([a-z-]+(?: (?:"[^"\n]*"|[-\w.:/]+))*)'
    named = re.findall(pattern, document.read_text(encoding="utf-8"))

    for words in map(shlex.split, named):
        command = get_group(cli).commands[words[0]]
        # A command that stands alone is spoken of; it may need arguments.
        alone = len(words) == 1
        with command.make_context(words[0], words[1:], resilient_parsing=alone):
            pass


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_test_and_measurement_named_can_be_run(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    tests = re.findall(r"\btests/[\w./-]*\w", text)
    measurements = re.findall(r"\bbench\.(\w+)", text)

    for path in (*tests, *(f"bench/{name}.py" for name in measurements)):
        assert (ROOT / path).exists(), path


def test_every_path_on_the_map_exists() -> None:
    (tree,) = fences("text", section("## The map", ARCHITECTURE))
    folder = ROOT
    for line in tree.splitlines():
        names = line[:24].replace(",", "").split()
        within = folder if line.startswith("  ") else ROOT
        for name in names:
            assert (within / name).exists(), line
        if not line.startswith("  "):
            folder = ROOT / names[0]


def test_every_folder_of_the_packages_is_on_the_map() -> None:
    (tree,) = fences("text", section("## The map", ARCHITECTURE))
    shown: dict[str, set[str]] = {}
    for line in tree.splitlines():
        if not line.startswith(" "):
            package = line.split()[0].rstrip("/")
        elif line.split()[0].endswith("/"):
            shown.setdefault(package, set()).add(line.split()[0].rstrip("/"))

    for package in ("app", "schema", "resolvers", "sync", "db"):
        folders = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
        assert shown[package] == folders, package


def test_every_folder_of_the_tree_in_the_readme_exists() -> None:
    (tree,) = fences("text", section("## The tree"))

    for line in tree.splitlines():
        for name in line[:16].replace(",", "").split():
            assert (ROOT / name).exists(), line


@pytest.mark.parametrize(("what", "where"), PLACES, ids=[what for what, _ in PLACES])
def test_what_is_to_be_changed_is_where_the_table_says(what: str, where: str) -> None:
    files = [ROOT / ARCHITECTURE / ".." / target for target in re.findall(r"\]\((.*?)\)", where)]

    assert files
    for name in code(where):
        assert any(name in file.resolve().read_text(encoding="utf-8") for file in files), name


def test_every_decision_is_on_the_index_page() -> None:
    folder = ROOT / "docs" / "adr"

    listed = dict(table(text_of("docs/adr/README.md")))

    pages = sorted(folder.glob("0*.md"))
    titles = {page: page.read_text(encoding="utf-8").partition("\n")[0] for page in pages}
    assert listed == {
        f"[{page.name[:4]}]({page.name})": title.removeprefix(f"# {page.name[:4]} ")
        for page, title in titles.items()
    }


def linked(document: Path) -> set[Path]:
    """Returns the pages that a page links to."""
    targets = re.findall(r"\]\(([^)\s#]+\.md)", document.read_text(encoding="utf-8"))
    return {(document.parent / target).resolve() for target in targets if ":" not in target}


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    found = {ROOT / "README.md"}
    while found:
        reached |= found
        found = {page for document in found for page in linked(document)} - reached

    assert set(DOCUMENTS) - reached == set()


def anchors(document: Path) -> set[str]:
    """Returns the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)

    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if not target.startswith(("http:", "https:", "mailto:")):
            path, _, anchor = target.partition("#")
            page = document.parent / path if path else document
            assert page.exists(), target
            assert not anchor or anchor in anchors(page), target
