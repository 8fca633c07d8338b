"""Measures how soon the console shows something: `.venv/bin/python -m bench.console --help`.

Starts the service on SQLite, lets a simulated portal enrol the members by signed webhooks, and
opens the members page in a real browser, which it finds in the same way as the tests.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.console.chromium import find_chromium
from tests.console.conftest import FLAGS, WIDE
from tests.console.service import ConsoleService
from tests.console.timing import seconds_until_shown
from tests.support.builders import created, updated
from tests.support.javascript import NODE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=70_000)
    parser.add_argument("--views", type=int, default=10)
    parser.add_argument("--changes", type=int, default=100)
    options = parser.parse_args()
    os.environ["PLAYWRIGHT_NODEJS_PATH"] = str(NODE)
    chromium = find_chromium()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        service = ConsoleService(Path(folder))
        service.start()
        begun = time.monotonic()
        _enrol(service, options.members)
        print(f"{options.members} members enrolled in {time.monotonic() - begun:.0f} s")
        browser = playwright.chromium.launch(
            executable_path=chromium.program, env=dict(chromium.environment) or None, args=FLAGS
        )
        views = sorted(_first_view(browser, service) for _ in range(options.views))
        _print("first view of the members page", views)
        _print("portal -> row on the screen", _changes(browser, service, options.changes))
        browser.close()
        service.kill()


def _enrol(service: ConsoleService, members: int) -> None:
    simulate = [sys.executable, "-m", "app", "simulate", service.url, "--members", str(members)]
    quietly = subprocess.DEVNULL
    subprocess.run([*simulate, "--events", "0"], check=True, stdout=quietly, stderr=quietly)


def _first_view(browser: Browser, service: ConsoleService) -> float:
    """Measures the time from the address to rows on the screen and a live connection, with an empty
    cache."""
    page = _page(browser)
    address = service.link("/medlemmer")
    begun = time.monotonic()
    page.goto(address, wait_until="commit")
    page.locator("[data-testid=members] tbody tr").first.wait_for()
    seconds = time.monotonic() - begun
    expect(page.get_by_test_id("link")).to_have_text("Direkte")
    page.context.close()
    return seconds


def _changes(browser: Browser, service: ConsoleService, count: int) -> list[float]:
    profile = {"givenName": "Per", "familyName": "Prøvesen"}
    service.tell(created("Per", profile=profile))
    page = _page(browser)
    page.goto(service.link("/medlemmer?sok=Per Prøvesen"))
    id = service.member_id("Per")
    page.locator(f"tr[data-id='{id}']").wait_for()
    expect(page.get_by_test_id("link")).to_have_text("Direkte")
    seconds = []
    for number in range(1, count + 1):
        phone = updated("Per", number, profile={"memberNumber": f"9{number:05}"})
        seconds.append(seconds_until_shown(page, service, id, f"9{number:05}", phone))
    page.context.close()
    return sorted(seconds)


def _page(browser: Browser) -> Page:
    return browser.new_context(viewport=WIDE, locale="nb-NO").new_page()


def _print(what: str, seconds: list[float]) -> None:
    p95 = seconds[int(0.95 * (len(seconds) - 1))]
    print(
        f"{what}: p50 {1000 * statistics.median(seconds):.0f} ms, p95 {1000 * p95:.0f} ms, "
        f"max {1000 * seconds[-1]:.0f} ms, {len(seconds)} times"
    )


if __name__ == "__main__":
    main()
