"""The built web pages: made of the present sources, from nowhere else, fit for a strict CSP."""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from console.build import (
    STAMP,
    ConsoleBuildError,
    Node,
    build,
    digest_of_inputs,
    digest_of_output,
    output,
)

GRAPHIQL = output() / "graphiql"


class Page(HTMLParser):
    """What an HTML page loads, and what it would run by itself."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.inline: list[str] = []
        self._in_script_or_style = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_script_or_style = tag in {"script", "style"}
        for name, value in attrs:
            if name in {"src", "href"}:
                self.loaded.append(value or "")
            elif name == "style" or name.startswith("on"):
                self.inline.append(f"{name}={value}")

    def handle_endtag(self, tag: str) -> None:
        self._in_script_or_style = False

    def handle_data(self, data: str) -> None:
        if self._in_script_or_style and data.strip():
            self.inline.append(data)


def assets(suffix: str) -> Iterator[tuple[str, str]]:
    return ((file.name, file.read_text()) for file in sorted(GRAPHIQL.glob(f"assets/*{suffix}")))


def test_pages_were_built_from_the_present_sources() -> None:
    assert digest_of_output() == digest_of_inputs()


def test_page_loads_only_our_files_and_runs_nothing_inline() -> None:
    page = Page((GRAPHIQL / "index.html").read_text())

    assert page.inline == []
    assert page.loaded
    for address in page.loaded:
        assert address.startswith("/graphiql/")
        assert (GRAPHIQL / address.removeprefix("/graphiql/")).is_file()


def test_scripts_start_only_our_workers_and_import_only_our_files() -> None:
    workers = set()
    for name, script in assets(".js"):
        foreign = re.findall(
            r"(?:import|importScripts|Worker|fetch)\(\s*[`'\"](?:https?:)?//", script
        )
        foreign += re.findall(r"\bfrom\s*[`'\"](?:https?:)?//", script)
        assert foreign == [], name
        workers |= set(re.findall(r"new Worker\([`'\"](.+?)[`'\"]", script))

    assert len(workers) == 3
    for address in workers:
        assert (GRAPHIQL / address.removeprefix("/graphiql/")).is_file()


def test_styles_load_only_our_files() -> None:
    for name, style in assets(".css"):
        addresses = re.findall(r"(?:url\(|@import\s)\s*[\"']?([^\"')\s]{1,80})", style)
        foreign = [it for it in addresses if not it.startswith(("data:", "/graphiql/", "#"))]
        assert foreign == [], name


# A stand-in for npm-cli.js, run by Python in Node's place. It notes what it was asked to do, makes
# what `npm ci` and a page's build make, and fails where it finds a file that tells it to.
NPM = """
import pathlib, sys
with pathlib.Path("calls.txt").open("a") as calls:
    print(sys.argv[1], file=calls)
if pathlib.Path("graphiql/broken").exists():
    sys.exit("no such luck")
if sys.argv[1] == "ci":
    pathlib.Path("node_modules").mkdir(exist_ok=True)
else:
    out = pathlib.Path(sys.argv[-1].removeprefix("--outDir="))
    out.mkdir()
    (out / "index.html").write_text(pathlib.Path("graphiql/page.ts").read_text())
"""


class Project:
    """A small tree with one page, and an npm that only pretends."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.console = root / "console"
        (root / "app").mkdir()
        (self.console / "graphiql").mkdir(parents=True)
        (self.console / "package.json").write_text('{"workspaces": ["graphiql"]}')
        (self.console / "package-lock.json").write_text("{}")
        self.page = self.console / "graphiql" / "page.ts"
        self.page.write_text("first")
        npm = root / "npm.py"
        npm.write_text(NPM.replace('"calls.txt"', repr(str(root / "calls.txt"))))
        self.node = Node(Path(sys.executable), npm)

    def build(self) -> bool:
        return build(self.node, self.root)

    @property
    def calls(self) -> list[str]:
        return (self.root / "calls.txt").read_text().split()

    @property
    def built_page(self) -> str:
        return (output(self.root) / "graphiql" / "index.html").read_text()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_build_without_a_change_does_nothing(project: Project) -> None:
    assert project.build()

    assert not project.build()

    assert project.calls == ["ci", "run"]


def test_changed_source_is_built_with_the_packages_that_are_there(project: Project) -> None:
    project.build()
    project.page.write_text("second")

    assert project.build()

    assert project.built_page == "second"
    assert project.calls == ["ci", "run", "run"]


def test_changed_lock_file_installs_again(project: Project) -> None:
    project.build()
    (project.console / "package-lock.json").write_text('{"lockfileVersion": 3}')

    assert project.build()

    assert project.calls == ["ci", "run", "ci", "run"]


def test_failed_build_leaves_the_old_pages_and_is_tried_again(project: Project) -> None:
    project.build()
    before = digest_of_output(project.root)
    project.page.write_text("second")
    broken = project.console / "graphiql" / "broken"
    broken.touch()

    with pytest.raises(ConsoleBuildError, match="npm run build"):
        project.build()

    assert (project.built_page, digest_of_output(project.root)) == ("first", before)
    broken.unlink()
    assert project.build()
    assert project.built_page == "second"


def test_output_without_its_stamp_is_built_again(project: Project) -> None:
    project.build()
    (output(project.root) / STAMP).unlink()

    assert project.build()

    assert digest_of_output(project.root) == digest_of_inputs(project.root)


def test_installed_packages_are_no_inputs(project: Project) -> None:
    before = digest_of_inputs(project.root)

    project.build()

    assert digest_of_inputs(project.root) == before
