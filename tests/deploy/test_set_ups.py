"""Units, containers and templates: hardened, with settings that exist, and pages that are executed
or say why not."""

import re
import shutil
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from app.settings import PREFIX, Settings, load_settings
from tests.docs.commands import DOCS, Shell, blocks
from tests.support.commands import ROOT

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
SET_UPS = [path for path in sorted(DEPLOY.rglob("*")) if path.is_file() and path.suffix != ".py"]
PAGES = [
    *sorted((DOCS / "operate").glob("install-[vca]*.md")),
    DOCS / "operate" / "running.md",
]
EXECUTED = [
    ("operate/install-vm.md", "## 2. The service"),
    ("operate/install-vm.md", "## 4. Settings and secrets"),
    ("operate/install-compose.md", "## Secrets"),
]
MOST_EXPOSED = 20
"""Tenths of systemd's measure, of which 100 is a process that may do everything."""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def systemd_analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed: it comes with systemd")
    return subprocess.run(  # noqa: S603 -- a program of the system
        [program, *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.child_process
@pytest.mark.parametrize("unit", SERVICES, ids=name_of)
def test_unit_exposes_little(unit: Path) -> None:
    done = systemd_analyze(
        "security", "--offline=true", f"--threshold={MOST_EXPOSED}", "--no-pager", str(unit)
    )

    assert done.returncode == 0, done.stdout[-300:] + done.stderr


@pytest.mark.child_process
def test_units_are_understood(tmp_path: Path) -> None:
    for unit in UNITS:
        # The program is not installed where the tests run.
        text = unit.read_text().replace("/opt/likeperson-sync/bin/likeperson-sync", "/bin/true")
        (tmp_path / unit.name).write_text(text.replace("/usr/bin/pg_dump", "/bin/true"))

    done = systemd_analyze("verify", *(str(tmp_path / unit.name) for unit in UNITS))

    assert done.returncode == 0
    assert not [line for line in done.stderr.splitlines() if str(tmp_path) in line], done.stderr


@pytest.mark.parametrize("path", SET_UPS, ids=name_of)
def test_every_setting_that_is_set_exists(path: Path) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    # What compose and Caddy fill in.
    known |= {"LIKEPERSON_HOSTNAME", "LIKEPERSON_IMAGE"}

    named = set(re.findall(rf"\b{PREFIX}[A-Z_]+\b", path.read_text(encoding="utf-8")))

    assert named <= known


def compose() -> dict[str, Any]:
    text = (DEPLOY / "container" / "compose.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = import_module("yaml").safe_load(text)
    return loaded


def test_containers_of_the_service_can_do_little() -> None:
    services = compose()["services"]
    for name in ("migrate", "sync-1", "sync-2"):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["security_opt"] == ["no-new-privileges:true"]
        assert "ports" not in services[name]
    final = (DEPLOY / "container" / "Containerfile").read_text().rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001:10001$", final, re.MULTILINE)
    assert "HEALTHCHECK" in final
    assert {"title", "licenses", "version", "revision"} <= set(
        re.findall(r"org\.opencontainers\.image\.(\w+)=", final)
    )


def test_what_compose_mounts_is_there_or_is_made_by_its_page() -> None:
    given = compose()
    (page,) = blocks("operate/install-compose.md", "## Secrets")
    for secret in given["secrets"].values():
        assert secret["file"] in page
    for service in given["services"].values():
        assert {*service.get("secrets", [])} <= given["secrets"].keys()
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            here = DEPLOY / "container" / source
            assert here.is_file() if source.startswith(".") else source in given["volumes"]


def test_site_of_compose_is_the_one_that_is_tested_but_for_its_names() -> None:
    site = (DEPLOY / "proxy" / "Caddyfile").read_text(encoding="utf-8").splitlines()[1:]
    ours = (DEPLOY / "container" / "Caddyfile").read_text(encoding="utf-8").splitlines()[1:]

    differing = [pair for pair in zip(site, ours, strict=True) if pair[0] != pair[1]]
    assert [there.split()[0] for there, _ in differing] == ["sync.example", "reverse_proxy"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_of_a_page_is_executed_or_the_page_says_why_not(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    every = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    marked = re.findall(r"<!-- not executed: [^>]{10,} -->\n```sh\n(.*?)```", text, re.DOTALL)
    name = str(page.relative_to(DOCS))
    executed = [it for of, heading in EXECUTED if of == name for it in blocks(of, heading)]

    for commands in every:
        assert commands in marked or commands in executed, commands


async def test_settings_of_the_page_about_a_machine_let_it_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, _ = blocks("operate/install-vm.md", "## 4. Settings and secrets")
    here = tmp_path / "likeperson-sync"

    await Shell(tmp_path, {}).paste(make.replace("/etc/likeperson-sync", str(here)))

    for line in (here / "settings.env").read_text().splitlines():
        name, _, value = line.partition("=")
        monkeypatch.setenv(name, value)
    for setting, file in (
        ("auth_secret", "auth-secret"),
        ("database_url", "database-url"),
        ("sources", "sources.toml"),
    ):
        assert (here / file).stat().st_mode & 0o077 == 0
        monkeypatch.setenv(f"{PREFIX}{setting.upper()}_FILE", str(here / file))
    settings = load_settings()
    assert settings.env == "production"
    assert settings.sources["portal"].usable_secrets


async def test_secrets_of_the_page_about_containers_let_it_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (make,) = blocks("operate/install-compose.md", "## Secrets")

    await Shell(tmp_path, {}).paste(make)

    given = compose()
    settings = given["services"]["sync-1"]["environment"]
    for name, value in settings.items():
        secret = value.removeprefix("/run/secrets/")
        if secret != value:
            file = tmp_path / given["secrets"][secret]["file"]
            monkeypatch.setenv(name, str(file))
        elif "$" not in value:
            monkeypatch.setenv(name, value)
    assert load_settings().database_url.startswith("postgresql+asyncpg://likeperson:")
    assert (tmp_path / "secrets").stat().st_mode & 0o077 == 0
