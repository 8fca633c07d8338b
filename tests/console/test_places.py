"""Where one is in the console: addresses, the way back, lists that stand still, and dead ends."""

import pytest
from playwright.sync_api import Route, expect

from tests.console.conftest import Visit, person
from tests.console.service import ConsoleService
from tests.support.builders import organization

OSLO = organization("HLF Oslo", "HLF")
ROWS = "[data-testid=members] tbody tr"
ENTRIES = "[data-testid=log] tbody tr"


@pytest.fixture
def crowd(own_service: ConsoleService) -> ConsoleService:
    """A service that knows 60 members more."""
    own_service.tell(*(person(f"P{number:02}", "Plass", OSLO) for number in range(60)))
    return own_service


def test_way_back_from_a_member_leads_to_the_filter_and_page_one_came_from(
    visit: Visit, crowd: ConsoleService
) -> None:
    page = visit("/medlemmer?sok=Plass&antall=25", at=crowd)
    expect(page.locator(ROWS)).to_have_count(25)
    page.get_by_role("button", name="Neste").click()
    expect(page.locator(ROWS).first).to_contain_text("P25")
    assert page.evaluate("scrollY") == 0
    second = page.url

    page.get_by_role("link", name="P30 Plass").click()
    page.get_by_role("link", name="Alle medlemmer").click()
    expect(page.locator(ROWS).first).to_contain_text("P25")
    assert page.url == second

    page.get_by_role("link", name="P31 Plass").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("P31 Plass")
    page.go_back()
    expect(page.locator(ROWS).first).to_contain_text("P25")
    page.go_back()
    page.go_back()
    page.go_back()
    expect(page.locator(ROWS).first).to_contain_text("P00")
    expect(page.get_by_label("Søk")).to_have_value("Plass")


def test_way_back_of_the_browser_leads_to_where_one_had_scrolled(
    visit: Visit, crowd: ConsoleService
) -> None:
    page = visit("/medlemmer?sok=Plass&antall=100", at=crowd)
    expect(page.locator(ROWS)).to_have_count(60)
    page.get_by_role("link", name="P55 Plass").scroll_into_view_if_needed()
    depth = page.evaluate("scrollY")
    page.get_by_role("link", name="P55 Plass").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("P55 Plass")
    assert page.evaluate("scrollY") == 0

    page.go_back()

    page.wait_for_function("depth => Math.abs(scrollY - depth) < 60", arg=depth)


def test_log_goes_back_page_by_page(visit: Visit, crowd: ConsoleService) -> None:
    page = visit("/logg?antall=25", at=crowd)
    first = page.locator(ENTRIES).first.get_attribute("data-id")
    page.get_by_role("button", name="Eldre").click()
    expect(page.locator(f"{ENTRIES}[data-id='{first}']")).to_have_count(0)
    second = page.locator(ENTRIES).first.get_attribute("data-id")
    page.get_by_role("button", name="Eldre").click()
    expect(page.locator(f"{ENTRIES}[data-id='{second}']")).to_have_count(0)

    page.get_by_role("button", name="Nyere").click()
    expect(page.locator(ENTRIES).first).to_have_attribute("data-id", second or "")


def test_address_of_nothing_is_a_page_of_the_console_with_a_way_out(visit: Visit) -> None:
    page = visit("/nonsens")

    expect(page.get_by_role("heading", level=1)).to_have_text("Siden finnes ikke")
    page.get_by_role("link", name="Til medlemmene").click()
    expect(page.locator(ROWS).first).to_be_visible()


@pytest.mark.parametrize("path", ["/logg?status=DEAD", "/driftsstatus", "/kilder", "/logg/x"])
def test_page_that_is_not_for_the_viewer_says_so_and_nothing_else(visit: Visit, path: str) -> None:
    page = visit(path, "Vigdis")

    expect(page.get_by_text("Du har ikke tilgang til dette.")).to_be_visible()
    expect(page.locator("main").get_by_role("button")).to_have_count(0)
    expect(page.locator("main form")).to_have_count(0)


@pytest.mark.parametrize(
    "path", ["/logg?status=FINISHED", "/medlemmer?lag=x", "/medlemmer/x", "/logg/x", "/kilder/x"]
)
def test_link_that_cannot_work_says_so_and_leads_to_the_whole_list(visit: Visit, path: str) -> None:
    page = visit(path)
    expect(page.get_by_role("alert")).to_contain_text("Lenken virker ikke")
    expect(page.get_by_role("button", name="Prøv igjen")).to_have_count(0)

    page.get_by_role("link", name="Vis hele listen").click()

    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_text("Lenken virker ikke")).to_have_count(0)


def test_service_that_is_away_is_not_the_fault_of_the_viewer_and_comes_back_by_itself(
    visit: Visit,
) -> None:
    page = visit("/medlemmer")
    expect(page.locator(ROWS).first).to_be_visible()

    def away(route: Route) -> None:
        route.fulfill(status=503, content_type="application/json", body="{}")

    page.route("**/graphql", away)
    page.get_by_role("link", name="Roller").click()
    expect(page.get_by_role("alert")).to_contain_text("Tjenesten er ikke tilgjengelig")
    expect(page.get_by_text("nettforbindelsen")).to_have_count(0)

    page.unroute("**/graphql")
    expect(page.locator("tr[data-role=coordinator]")).to_be_visible()


def test_rows_do_not_move_under_a_hand(visit: Visit, own_service: ConsoleService) -> None:
    own_service.tell(person("Anna", "Rolig", OSLO))
    page = visit("/logg", at=own_service)
    page.locator(ENTRIES).first.hover()
    before = page.locator(ENTRIES).first.get_attribute("data-id")

    own_service.tell(person("Berit", "Rolig", OSLO))
    own_service.tell(person("Carl", "Rolig", OSLO))
    news = page.get_by_test_id("news")
    expect(news).to_have_text("2 endringer – vis")
    expect(page.locator(ENTRIES).first).to_have_attribute("data-id", before or "")

    news.click()
    expect(page.locator(ENTRIES).first).to_contain_text("Carl Rolig")
    expect(news).to_have_count(0)

    page.locator(ENTRIES).first.hover()
    own_service.tell(person("Dora", "Rolig", OSLO))
    expect(news).to_have_text("1 endring – vis")
    page.get_by_label("Status", exact=True).select_option("Utført")
    expect(page.locator(ENTRIES).first).to_contain_text("Dora Rolig")
    expect(news).to_have_count(0)


def test_lists_that_were_stopped_stand_still_until_they_are_let_go(
    visit: Visit, own_service: ConsoleService
) -> None:
    own_service.tell(person("Anna", "Rolig", OSLO))
    page = visit("/medlemmer", at=own_service)
    page.get_by_label("Stopp oppdateringer").check()
    page.get_by_role("link", name="Synkroniseringslogg").click()
    expect(page.get_by_label("Stopp oppdateringer")).to_be_checked()
    expect(page.locator(ENTRIES).first).to_contain_text("Anna Rolig")

    own_service.tell(person("Berit", "Rolig", OSLO))
    expect(page.get_by_test_id("news")).to_have_text("1 endring – vis")
    expect(page.locator(ENTRIES).first).to_contain_text("Anna Rolig")

    page.get_by_label("Stopp oppdateringer").uncheck()
    expect(page.locator(ENTRIES).first).to_contain_text("Berit Rolig")


def test_chosen_rows_stay_chosen_over_pages(visit: Visit, crowd: ConsoleService) -> None:
    page = visit("/logg?antall=25", at=crowd)
    page.locator(ENTRIES).nth(0).get_by_role("checkbox").check()
    page.get_by_role("button", name="Eldre").click()
    page.locator(ENTRIES).nth(3).get_by_role("checkbox").check()

    expect(page.get_by_role("button", name="Behandle 2 valgte på nytt")).to_be_enabled()
    page.get_by_role("button", name="Nyere").click()
    expect(page.locator(ENTRIES).nth(0).get_by_role("checkbox")).to_be_checked()
