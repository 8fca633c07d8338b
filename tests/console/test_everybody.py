"""Pages for everybody: no obstacles found by axe, all of it by keyboard, on a phone, in English."""

import json
from typing import Any, Literal

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.console.conftest import NARROW, Visit
from tests.console.service import ConsoleService
from tests.support.javascript import PACKAGES

AXE = PACKAGES / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def violations(page: Page) -> list[tuple[str, list[str]]]:
    """What axe finds, and where."""
    # Colours that are on their way say nothing.
    page.evaluate("Promise.all(document.getAnimations().map((it) => it.finished))")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    options = json.dumps({"runOnly": RULES})
    found: dict[str, Any] = page.evaluate(f"axe.run(document, {options})")
    assert len(found["passes"]) > 10
    return [
        (violation["id"], [str(node["target"]) for node in violation["nodes"]])
        for violation in found["violations"]
    ]


def addresses(service: ConsoleService) -> dict[str, str]:
    """Every page, with the text of its heading in Norwegian."""
    log = service.data(
        "query ($filter: SyncLogFilter) { syncLog(filter: $filter) { edges { node { id } } } }",
        filter={"memberId": service.member_id("Kari"), "outcome": ["UPDATED"]},
    )
    entry = log["syncLog"]["edges"][0]["node"]["id"]
    return {
        "/medlemmer": "Medlemmer",
        f"/medlemmer/{service.member_id('Kari')}": "Kari Nordmann",
        "/logg": "Synkroniseringslogg",
        f"/logg/{entry}": "Endrede roller",
        "/driftsstatus": "Driftsstatus",
        "/kilder": "Kilder",
        "/roller": "Roller",
    }


@pytest.mark.parametrize("language", ["nb", "en"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_obstacle_on_any_page(
    page: Page, service: ConsoleService, scheme: Literal["light", "dark"], language: str
) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.add_init_script(f"localStorage.setItem('likeperson:language', '{language}')")
    found = {}
    page.goto(service.url)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    found["sign-in"] = violations(page)
    for address, heading in addresses(service).items():
        page.goto(service.link(address))
        expect(page.get_by_test_id("link")).to_have_text({"nb": "Direkte", "en": "Live"}[language])
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.locator(".ds-spinner")).to_have_count(0)
        found[address] = violations(page)
        if language == "nb":
            expect(page.get_by_role("heading", level=1)).to_have_text(heading)
    page.locator("tr[data-role=coordinator]").get_by_role("button").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    found["dialog"] = violations(page)
    page.keyboard.press("Escape")
    page.locator(".menu-button").click()
    found["menu"] = violations(page)

    assert {place: obstacles for place, obstacles in found.items() if obstacles} == {}
    assert len(found) == 10


@pytest.mark.parametrize("width", [320, NARROW["width"]])
def test_every_page_fits_a_narrow_screen(page: Page, service: ConsoleService, width: int) -> None:
    # Its own letters are on their way at first, and those of the system may be wider.
    page.route("**/*.woff2", lambda route: route.abort())
    page.set_viewport_size({"width": width, "height": NARROW["height"]})
    for address, heading in addresses(service).items():
        page.goto(service.link(address))
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        expect(page.get_by_test_id("link")).to_have_text("Direkte")
        expect(page.locator(".loading")).to_have_count(0)

        assert page.evaluate("document.documentElement.scrollWidth") <= width, address


def test_a_row_folds_on_a_phone(page: Page, service: ConsoleService) -> None:
    page.set_viewport_size(NARROW)
    page.goto(service.link("/medlemmer?sok=Nordmann"))
    kari = page.get_by_test_id("members").get_by_role("row").filter(has_text="Kari")
    expect(kari.get_by_role("cell")).to_have_count(2)
    expect(kari.get_by_role("cell").first).to_contain_text("HLF Oslo")
    expect(kari.get_by_role("cell").last).to_have_text("Aktiv")
    assert violations(page) == []
    page.get_by_role("link", name="Roller").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Roller")


def focused(page: Page) -> Locator:
    return page.locator(":focus")


def tab_to(page: Page, name: str) -> None:
    """By keyboard alone, as far as it takes."""
    for _ in range(60):
        page.keyboard.press("Tab")
        # Past the last element nothing has the focus; the page itself, which stands for that, says
        # everything that stands on it.
        label = page.evaluate(
            """document.activeElement === document.body ? ''
            : document.activeElement.ariaLabel ?? document.activeElement.innerText"""
        )
        if name in label:
            return
    raise AssertionError(f"{name} cannot be reached by keyboard.")


def test_everything_can_be_done_by_keyboard(visit: Visit, service: ConsoleService) -> None:
    page = visit("/medlemmer?sok=Nordmann")
    expect(page.get_by_test_id("members")).to_be_visible()

    page.keyboard.press("Tab")
    expect(focused(page)).to_have_text("Hopp til hovedinnhold")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()

    tab_to(page, "Navn")
    page.keyboard.press("Enter")
    expect(page.locator("th[aria-sort=descending]")).to_have_text("Navn")
    # Rows that change places while the keys go through them are not come by in turn.
    expect(page.get_by_test_id("members")).to_have_attribute("aria-busy", "false")
    tab_to(page, "Ola Nordmann")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Ola Nordmann")
    expect(page.locator("main")).to_be_focused()

    page.goto(service.link("/roller"))
    expect(page.get_by_test_id("catalogue")).to_be_visible()
    tab_to(page, "Endre: Koordinator")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(focused(page)).to_have_attribute("aria-label", "Endre: Koordinator")


def test_language_and_theme_are_chosen_and_kept(visit: Visit, service: ConsoleService) -> None:
    page = visit()
    page.locator(".menu-button").click()
    page.get_by_role("radio", name="English").check(force=True)
    page.get_by_label("Appearance").select_option("Dark")

    expect(page.get_by_role("heading", level=1)).to_have_text("Members")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("html")).to_have_attribute("data-color-scheme", "dark")
    expect(page).to_have_title("Members – Likeperson Sync")

    page.goto(f"{service.url}/roller")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    expect(page.locator("html")).to_have_attribute("data-color-scheme", "dark")


def test_an_address_of_nothing_says_so(page: Page, visit: Visit, service: ConsoleService) -> None:
    response = page.goto(f"{service.url}/medlemmene")
    assert response is not None
    assert response.status == 404

    visit("/medlemmer/TWVtYmVyOjA")
    expect(page.get_by_text("Dette medlemmet finnes ikke")).to_be_visible()
