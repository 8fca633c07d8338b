"""Makes the pictures of docs/build/console.md: `.venv/bin/python -m tests.console.screenshots`."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from tests.console.chromium import find_chromium
from tests.console.conftest import FLAGS, NARROW
from tests.console.service import ConsoleService
from tests.support.builders import created, organization, role
from tests.support.javascript import NODE

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "build" / "console"
SIZE = ViewportSize(width=1200, height=760)


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    os.environ["PLAYWRIGHT_NODEJS_PATH"] = str(NODE)
    chromium = find_chromium()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        service = ConsoleService(Path(folder))
        service.start()
        _fill(service)
        browser = playwright.chromium.launch(
            executable_path=chromium.program, env=dict(chromium.environment) or None, args=FLAGS
        )
        _take(browser, service)
        browser.close()
        service.kill()


def _fill(service: ConsoleService) -> None:
    """An association of some size, and a few things that somebody has to look at."""
    simulate = [sys.executable, "-m", "app", "simulate", service.url]
    load = ["--members", "400", "--events", "120", "--concurrency", "4"]
    subprocess.run([*simulate, *load], check=True, stdout=subprocess.DEVNULL)  # noqa: S603 -- ours
    profile = {"givenName": "Siv", "familyName": "Kasserud", "memberNumber": "104999"}
    service.tell(
        created(
            "Siv",
            organization=organization("HLF Oslo"),
            roles=[role("member"), role("treasurer")],
            profile=profile,
        )
    )
    service.deliver(b"not JSON")
    service.deliver(b"{}")


def _take(browser: Browser, service: ConsoleService) -> None:
    coordinators = service.data(
        """{ members(filter: {role: ["coordinator"]}, first: 1, orderBy: {field: UPDATED_AT,
        direction: DESC}) { edges { node { id } } }
        syncLog(filter: {outcome: [UPDATED]}, first: 1) { edges { node { id } } } }"""
    )
    member = coordinators["members"]["edges"][0]["node"]["id"]
    entry = coordinators["syncLog"]["edges"][0]["node"]["id"]
    _picture(browser, service, "sign-in", "/", signed_in=False)
    _picture(browser, service, "members", "/medlemmer")
    _picture(browser, service, "members-dark", "/medlemmer", scheme="dark")
    _picture(browser, service, "members-phone", "/medlemmer", size=NARROW)
    _picture(browser, service, "member", f"/medlemmer/{member}")
    _picture(browser, service, "log", "/logg")
    _picture(browser, service, "entry", f"/logg/{entry}")
    _picture(browser, service, "replay", "/logg", press="Behandle alle treff på nytt")
    _picture(browser, service, "health", "/driftsstatus")
    _picture(browser, service, "roles", "/roller", press="Endre: Koordinator")


def _picture(
    browser: Browser,
    service: ConsoleService,
    name: str,
    path: str,
    *,
    signed_in: bool = True,
    size: ViewportSize = SIZE,
    scheme: str = "light",
    press: str | None = None,
) -> None:
    context = browser.new_context(
        viewport=size,
        color_scheme="dark" if scheme == "dark" else "light",
        locale="nb-NO",
        timezone_id="Europe/Oslo",
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(service.link(path) if signed_in else service.url + path)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    if signed_in:
        expect(page.get_by_test_id("link")).to_have_text("Direkte")
        expect(page.locator(".ds-spinner")).to_have_count(0)
    if press is not None:
        _press(page, press)
    page.evaluate("document.fonts.ready")
    page.screenshot(path=PICTURES / f"{name}.png")
    context.close()


def _press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.get_by_role("dialog").locator(".ds-spinner")).to_have_count(0)


if __name__ == "__main__":
    main()
