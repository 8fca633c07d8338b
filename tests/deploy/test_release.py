"""A release as it is built and installed by the pages about it keeps the five promises."""

import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from app.settings import Settings
from tests.acceptance.test_promises import MEMBER, VIEWER
from tests.docs.commands import Shell, blocks
from tests.faults.process import Program, _quiet_port, until
from tests.support.builders import (
    created,
    deactivated,
    guid,
    organization,
    role,
    role_updated,
    updated,
)
from tests.support.commands import ROOT
from tests.support.service import DEADLINE, Service

pytestmark = pytest.mark.child_process

SLOW = 200.0
"""Seconds in which packages are fetched and installed."""
LOG = "{ syncLog { edges { node { eventType occurredAt status outcome detail } } } }"


def checkout(folder: Path) -> Path:
    """Copies what git knows, with the pages as they are built."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    shutil.copytree(ROOT / "app" / "static", folder / "app" / "static", dirs_exist_ok=True)
    (folder / ".tools").symlink_to(ROOT / ".tools")
    return folder


class Installed(Program):
    """The installed program, which knows nothing of the sources."""

    def __init__(self, program: Path, database_url: str, folder: Path, *args: str) -> None:
        super().__init__(database_url, folder, *args)
        self._program = program
        self._environment.pop("PYTHONPATH", None)

    def start(self) -> None:
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- what was just installed
                [self._program, *self._args],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


@asynccontextmanager
async def served(program: Path, url: str, folder: Path) -> AsyncIterator[Service]:
    port = _quiet_port()
    with Installed(program, url, folder, "migrate") as migrating:
        migrating.start()
        assert await migrating.ended() == 0, migrating.log_file.read_text()
    with Installed(program, url, folder, "serve", "--port", str(port)) as serving:
        serving.start()
        address = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(timeout=DEADLINE) as http:

            async def is_ready() -> bool:
                assert serving.process.poll() is None, serving.log_file.read_text()
                try:
                    return (await http.get(f"{address}/readyz")).status_code == httpx.codes.OK
                except httpx.TransportError:
                    return False

            await until(is_ready)
            yield Service(address, http, Settings(database_url=url))
        assert await serving.terminate() == 0
        assert serving.complaints() == []


@pytest.mark.timeout(3 * SLOW)
async def test_wheel_in_an_empty_environment_keeps_the_five_promises(
    tmp_path: Path, postgres_url: str
) -> None:
    sources = checkout(tmp_path / "sources")
    (build,) = blocks("maintain/release.md", "# A release")
    await Shell(sources, {}).paste(build, SLOW)
    dist = sources / "dist"
    assert {"requirements.txt", "sbom.cdx.json"} < {file.name for file in dist.iterdir()}
    shutil.rmtree(sources / "app")
    (install,) = blocks("operate/install-vm.md", "## 2. The service")
    here = tmp_path / "opt"
    await Shell(dist, {"PYTHONPATH": ""}).paste(
        install.replace("/opt/likeperson-sync", str(here)), SLOW
    )
    folder = tmp_path / "var"
    folder.mkdir()

    async with served(here / "bin" / "likeperson-sync", postgres_url, folder) as service:
        await walk_the_promises(service)


async def walk_the_promises(service: Service) -> None:
    async def member(name: str) -> dict[str, object]:
        data = await service.data(MEMBER, portalId=guid(name))
        found: dict[str, object] = data["member"]
        return found

    # 1. A member added in the portal is in the app, under the right organization.
    await service.tell(created("Kari", organization=organization("HLF Oslo")))
    assert (await member("Kari"))["organization"] == {"name": "HLF Oslo", "parent": None}
    # 2. A changed role is the access level of the token that the member has already.
    token = service.token("Kari")
    assert (await service.data(VIEWER, token=token))["viewer"]["accessLevel"] == "MEMBER"
    await service.tell(role_updated("Kari", roles=[role("coordinator")]))
    assert (await service.data(VIEWER, token=token))["viewer"]["accessLevel"] == "COORDINATOR"
    # 3. A deactivated member is refused, and marked.
    await service.tell(deactivated("Kari", 2))
    (refused,) = (await service.ask(VIEWER, token=token))["errors"]
    assert refused["extensions"]["code"] == "MEMBER_INACTIVE"
    assert (await member("Kari"))["state"] == "INACTIVE"
    # 5. An event about a person whom nobody has seen creates that person.
    await service.tell(updated("Ola", 3))
    assert (await member("Ola"))["state"] == "ACTIVE"
    # 4. The sync log shows type, time and status, and what was unusual.
    log = await service.data(LOG)
    entries = [edge["node"] for edge in log["syncLog"]["edges"]]
    assert {entry["status"] for entry in entries} == {"SUCCESS"}
    assert all(entry["occurredAt"] and entry["eventType"] for entry in entries)
    (unknown,) = [it for it in entries if it["eventType"] == "membership-updated"]
    assert unknown["outcome"] == "CREATED"
    # And the pages are in the wheel.
    page = await service.http.get(service.url)
    assert page.status_code == httpx.codes.OK
    for script in ("src=", "href="):
        assert script in page.text
