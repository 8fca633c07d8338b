"""The sources, the runs that compared them, and what is held back, as the national body sees it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from playwright.sync_api import Page, expect

from tests.console.conftest import NARROW, Visit, found
from tests.console.service import ConsoleService
from tests.console.test_everybody import violations
from tests.support.compared import compared_with_a_file
from tests.support.dataverse import TOKEN, Dataverse, simulated_dataverse

RUN = "{ reconciliations(first: 1) { edges { node { id status } } } }"
STATES = '{ members(filter: {search: "Nordmann"}) { edges { node { state } } } }'
ACTS = "{ auditTrail { edges { node { action detail } } } }"


@pytest.fixture(scope="module")
def threads() -> Iterator[BlockingPortal]:
    """Runs what is asynchronous, beside Playwright's own loop."""
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture
def holding(own_service: ConsoleService, threads: BlockingPortal) -> ConsoleService:
    """A service with a run that holds the memberships of Kari and Ola."""
    found(own_service)
    url = f"sqlite+aiosqlite:///{own_service.folder / 'likeperson.db'}"
    threads.call(compared_with_a_file, url, "Kari", "Ola")
    return own_service


@pytest.fixture
def dataverse(threads: BlockingPortal) -> Iterator[Dataverse]:
    with threads.wrap_async_context_manager(simulated_dataverse()) as dataverse:
        for name in ("Kari", "Ola"):
            dataverse.member(name)
        yield dataverse


def run_of(service: ConsoleService) -> str:
    id: str = service.data(RUN)["reconciliations"]["edges"][0]["node"]["id"]
    return id


def states(service: ConsoleService) -> set[str]:
    return {edge["node"]["state"] for edge in service.data(STATES)["members"]["edges"]}


def acts(service: ConsoleService) -> list[dict[str, str]]:
    return [edge["node"] for edge in service.data(ACTS)["auditTrail"]["edges"]]


def test_source_says_what_came_and_what_no_webhook_told(
    visit: Visit, holding: ConsoleService
) -> None:
    page = visit("/kilder", "Astrid", at=holding)

    source = page.get_by_test_id("source")
    expect(source).to_contain_text("portal")
    expect(source).to_contain_text("Varsler siste døgn")
    expect(source.locator("dl > div").filter(has_text="Uteblitte varsler")).to_contain_text("1")
    expect(page.get_by_text("Et uteblitt varsel er en endring")).to_be_visible()
    expect(page.get_by_test_id("runs")).to_contain_text("Venter på avgjørelse")
    expect(source.get_by_role("button")).to_have_count(0)


@pytest.mark.parametrize(
    ("button", "confirm", "state", "action"),
    [
        ("Ta bort som kilden sier", "Ta bort", "INACTIVE", "HELD_RELEASED"),
        ("Behold som det er her", "Behold", "ACTIVE", "HELD_DISCARDED"),
    ],
)
def test_what_is_held_is_decided_by_name_and_with_a_reason(
    visit: Visit, holding: ConsoleService, button: str, confirm: str, state: str, action: str
) -> None:
    page = visit("/kilder", "Astrid", at=holding)
    page.get_by_test_id("held").get_by_role("link").click()
    held = page.get_by_test_id("held-removals")
    expect(held.get_by_role("link", name="Kari Nordmann")).to_be_visible()
    expect(held.get_by_role("link", name="Ola Nordmann")).to_be_visible()
    expect(held).to_contain_text("HLF Oslo")

    page.get_by_role("button", name=button).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_test_id("consequence")).to_contain_text("2 personer")
    expect(dialog).to_contain_text("Kari Nordmann")
    dialog.get_by_role("button", name=confirm, exact=True).click()
    expect(dialog.get_by_test_id("refused")).to_contain_text("Skriv hvorfor")
    assert states(holding) == {"ACTIVE"}
    dialog.get_by_label("Hvorfor").fill("Avklart med laget")
    dialog.get_by_role("button", name=confirm, exact=True).click()

    expect(held).to_have_count(0)
    expect(page.locator(".title")).to_contain_text("Fullført")
    assert states(holding) == {state}
    assert {"action": action, "detail": "2 of portal: Avklart med laget"} in acts(holding)


def test_differences_are_shown_and_recorded_only_when_asked_for(
    visit: Visit, holding: ConsoleService
) -> None:
    page = visit(f"/kilder/{run_of(holding)}", "Astrid", at=holding)
    expect(page.get_by_role("button", name="Vis forskjellene")).to_be_visible()
    assert acts(holding) == []

    page.get_by_role("button", name="Vis forskjellene").click()

    drift = page.get_by_test_id("drift")
    phone = drift.get_by_role("row").filter(has_text="Telefon")
    expect(phone).to_contain_text("Kari Nordmann")
    expect(phone).to_contain_text("+4790000000")
    expect(phone).to_contain_text("Oppdatert")
    expect(drift.get_by_role("row").filter(has_text="Status")).to_have_count(2)
    assert [act["action"] for act in acts(holding)] == ["VALUES_READ"]


def test_administrators_of_a_chapter_see_no_sources(visit: Visit, service: ConsoleService) -> None:
    page = visit("/kilder", "Bjørn")

    expect(page.get_by_role("link", name="Kilder")).to_have_count(0)
    expect(page.locator(".failure")).to_be_visible()


@pytest.mark.parametrize("language", ["nb", "en"])
@pytest.mark.parametrize("width", [320, NARROW["width"], 1280])
def test_pages_of_sources_fit_and_have_no_obstacles(
    page: Page, holding: ConsoleService, width: int, language: str
) -> None:
    page.add_init_script(f"localStorage.setItem('likeperson:language', '{language}')")
    page.set_viewport_size({"width": width, "height": NARROW["height"]})
    for address in ("/kilder", f"/kilder/{run_of(holding)}"):
        page.goto(holding.link(address))
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.locator(".loading")).to_have_count(0)
        assert violations(page) == [], address
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address

    page.get_by_role("button", name={"nb": "Vis forskjellene", "en": "Show the"}[language]).click()
    expect(page.get_by_test_id("drift")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator(".actions button").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert violations(page) == []


def test_comparison_is_started_and_its_run_appears(
    page: Page, dataverse: Dataverse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINSIDE_TOKEN", TOKEN)
    mapping = tmp_path / "min-side.toml"
    mapping.write_text(dataverse.mapping_text(), encoding="utf-8")
    min_side = {"scheme": "dataverse", "secrets": ["k" * 20], "mapping": str(mapping)}
    service = ConsoleService(tmp_path, {"SOURCES": json.dumps({"min-side": min_side})})
    service.start()
    try:
        page.goto(service.link("/kilder"))
        page.get_by_role("button", name="Start avstemming: min-side").click()
        dialog = page.get_by_role("dialog")
        assert violations(page) == []
        dialog.get_by_role("button", name="Start").click()
        expect(dialog.get_by_test_id("refused")).to_contain_text("Skriv hvorfor")
        dialog.get_by_label("Sammenlign alle medlemmer").check()
        dialog.get_by_label("Hvorfor").fill("Etter driftsstans")
        dialog.get_by_role("button", name="Start").click()

        runs = page.get_by_test_id("runs")
        expect(runs).to_contain_text("Fullført")
        expect(runs).to_contain_text("Alle medlemmer")
        assert len(service.data("{ members { edges { node { id } } } }")["members"]["edges"]) == 2
    finally:
        service.kill()
