"""A browser, a service with a small association in it, and what holds for every page."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    ViewportSize,
    expect,
)

from tests.console.chromium import Chromium, find_chromium
from tests.console.service import ConsoleService
from tests.support.builders import created, deactivated, organization, role, role_updated, updated
from tests.support.javascript import NODE, install_packages

# Pages of an identity provider, which are not ours.
PROVIDERS = ("/interaction/", "/session/")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Nothing but this machine can be reached, whatever a page asks for.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]
WIDE = ViewportSize(width=1280, height=900)
NARROW = ViewportSize(width=390, height=844)

Visit = Callable[..., Page]

# A machine may be busy with other things; nothing is waited for longer than it takes.
expect.set_options(timeout=20_000)


@pytest.fixture(scope="session", autouse=True)
def _node_of_playwright() -> Iterator[None]:
    """The one that comes with Playwright needs a library that a bare machine lacks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYWRIGHT_NODEJS_PATH", str(NODE))
        install_packages()
        yield


@pytest.fixture(scope="session")
def chromium() -> Chromium:
    return find_chromium()


@pytest.fixture(scope="session")
def browser_type_launch_args(
    browser_type_launch_args: dict[str, Any], chromium: Chromium
) -> dict[str, Any]:
    return {
        **browser_type_launch_args,
        "executable_path": chromium.program,
        "env": chromium.environment or None,
        "args": FLAGS,
    }


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return {
        **browser_context_args,
        "viewport": WIDE,
        "locale": "nb-NO",
        "timezone_id": "Europe/Oslo",
        "reduced_motion": "reduce",
    }


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleService]:
    """With an association in which there is something of everything."""
    service = ConsoleService(tmp_path_factory.mktemp("console"))
    service.start()
    found(service)
    yield service
    service.kill()


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[ConsoleService]:
    """For a test that does to it what others would not survive."""
    service = ConsoleService(tmp_path)
    service.start()
    yield service
    service.kill()


def found(service: ConsoleService) -> None:
    hlf, vest, bergen = (
        organization("HLF"),
        organization("HLF Vestland", "HLF"),
        organization("HLF Bergen", "HLF Vestland"),
    )
    oslo = organization("HLF Oslo", "HLF")
    service.tell(
        person("Astrid", "Adminsen", hlf, "organization-administrator"),
        person("Bjørn", "Bergesen", bergen, "organization-administrator"),
        person("Vigdis", "Vestad", vest, "coordinator"),
        person("Kari", "Nordmann", oslo, "peer-mentor"),
        person("Ola", "Nordmann", oslo),
        person("Siv", "Kasserud", bergen, "treasurer"),
        person("Terje", "Tidligere", oslo),
        deactivated("Terje", 2, reason="flyttet til utlandet"),
        *(person(f"Nr{number:03}", "Mengde", oslo) for number in range(60)),
        updated("Kari", 3, profile={"phone": "+4790000003"}),
        role_updated("Kari", 4, roles=[role("peer-mentor"), role("coordinator", "HLF Bergen")]),
    )
    service.deliver(b'{"type": "membership-created"}')


def person(given: str, family: str, home: dict[str, Any], code: str = "member") -> dict[str, Any]:
    number = str(100_000 + sum(map(ord, given)) * 7)
    profile = {
        "givenName": given,
        "familyName": family,
        "memberNumber": number,
        "email": f"{given.lower()}@example.no",
    }
    return created(given, organization=home, roles=[role("member"), role(code)], profile=profile)


@contextmanager
def guarded(context: BrowserContext) -> Iterator[BrowserContext]:
    """No page asks for anything that is not ours, breaks its own rules, or fails unnoticed."""
    foreign: list[str] = []
    complaints: list[str] = []

    def of_provider(url: str) -> bool:
        return any(part in url for part in PROVIDERS)

    def asked(request: Request) -> None:
        ours = ("http://127.0.0.1:", "data:", "blob:")
        if not request.url.startswith(ours) and not of_provider(request.frame.url):
            foreign.append(request.url)

    def said(message: ConsoleMessage) -> None:
        place = message.page.url if message.page else ""
        if "Content Security Policy" in message.text and not of_provider(place):
            complaints.append(message.text)

    context.on("request", asked)
    context.on("console", said)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    yield context
    assert foreign == []
    assert complaints == []


@pytest.fixture(autouse=True)
def _guarded(context: BrowserContext) -> Iterator[None]:
    with guarded(context):
        yield


@pytest.fixture
def visit(page: Page, service: ConsoleService) -> Visit:
    """Opens a page of the console as an operator, or as the member of this name."""

    def visit(
        path: str = "/", member: str | None = None, *, at: ConsoleService | None = None
    ) -> Page:
        place = at or service
        page.goto(place.link(path, member))
        expect(page.get_by_test_id("link")).to_have_text("Direkte")
        return page

    return visit
