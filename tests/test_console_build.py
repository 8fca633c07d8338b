"""The built web pages come from the present sources, load nothing from elsewhere, and fit a strict
Content Security Policy."""

import gzip
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder

from console.build import (
    STAMP,
    ConsoleBuildError,
    Node,
    build,
    digest_of_inputs,
    digest_of_output,
    install_packages,
    output,
)
from tests.support.javascript import NODE, NPM_CLI

pytestmark = pytest.mark.child_process

ROOT = Path(__file__).parent.parent
CONSOLE = ROOT / "console"
PAGES = ["web", "graphiql"]


class Page(HTMLParser):
    """Collects what an HTML page loads, and what it would run inline."""

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


def assets(page: str, suffix: str) -> Iterator[tuple[str, str]]:
    files = sorted((output() / page).glob(f"assets/*{suffix}"))
    assert files
    return ((file.name, file.read_text()) for file in files)


def test_pages_were_built_from_the_present_sources() -> None:
    assert digest_of_output() == digest_of_inputs()


def test_generated_types_are_those_of_the_present_schema_and_operations() -> None:
    install_packages(Node(NODE, NPM_CLI), CONSOLE)

    done = subprocess.run(  # noqa: S603 -- our program
        [NODE, CONSOLE / "web" / "codegen.mjs", "--check"],
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", PAGES)
def test_page_loads_only_our_files_and_runs_nothing_inline(name: str) -> None:
    page = Page((output() / name / "index.html").read_text())

    assert page.inline == []
    assert page.loaded
    for address in page.loaded:
        assert address.startswith(f"/{name}/")
        assert (output() / address.removeprefix("/")).is_file()


@pytest.mark.parametrize(("page", "worker_count"), [("web", 0), ("graphiql", 3)])
def test_scripts_start_only_our_workers_and_import_only_our_files(
    page: str, worker_count: int
) -> None:
    workers = set()
    for name, script in assets(page, ".js"):
        foreign = re.findall(
            r"(?:import|importScripts|Worker|fetch)\(\s*[`'\"](?:https?:)?//", script
        )
        foreign += re.findall(r"\bfrom\s*[`'\"](?:https?:)?//", script)
        assert foreign == [], name
        workers |= set(re.findall(r"new Worker\([`'\"](.+?)[`'\"]", script))

    assert len(workers) == worker_count
    for address in workers:
        assert (output() / address.removeprefix("/")).is_file()


@pytest.mark.parametrize("page", PAGES)
def test_styles_load_only_our_files(page: str) -> None:
    for name, style in assets(page, ".css"):
        addresses = re.findall(r"(?:url\(|@import\s)\s*[\"']?([^\"')\s]{1,80})", style)
        foreign = [it for it in addresses if not it.startswith(("data:", f"/{page}/", "#"))]
        assert foreign == [], name


def test_console_is_light_enough_for_a_slow_line() -> None:
    scripts = sorted((output() / "web").glob("assets/*.js"))

    assert sum(len(gzip.compress(script.read_bytes())) for script in scripts) <= 250_000


# A stand-in for npm-cli.js, which Python runs in place of Node. It records its arguments, creates
# what `npm ci` and the build of a page create, and fails when the file `broken` exists.
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
    """A small project with one page and a stand-in for npm."""

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


def test_sdist_of_a_used_checkout_holds_all_inputs_of_the_pages(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(CONSOLE, checkout / "console", ignore=shutil.ignore_patterns("node_modules"))
    for name in (".gitignore", "LICENSE", "README.md", "hatch_build.py", "pyproject.toml"):
        shutil.copy(ROOT / name, checkout)
    # What `npm ci` leaves behind: links from node_modules to the workspaces.
    packages = checkout / "console" / "node_modules"
    packages.mkdir()
    for page in PAGES:
        (packages / page).symlink_to(checkout / "console" / page)

    (archive,) = SdistBuilder(str(checkout)).build(directory=str(tmp_path), versions=["standard"])

    with tarfile.open(archive) as files:
        files.extractall(tmp_path, filter="data")
    unpacked = Path(archive.removesuffix(".tar.gz"))
    assert digest_of_inputs(unpacked) == digest_of_inputs()
    assert not (unpacked / "console" / "node_modules").exists()
