"""Members, as coordinators see them: found, sorted, and changing by themselves."""

import re

from playwright.sync_api import Locator, Page, expect

from tests.console.conftest import Visit, person
from tests.console.service import ConsoleService
from tests.support.builders import (
    deactivated,
    guid,
    organization,
    reactivated,
    role,
    role_updated,
    updated,
)

OSLO = organization("HLF Oslo", "HLF")


def row(page: Page, name: str) -> Locator:
    return page.get_by_test_id("members").get_by_role("row").filter(has_text=name)


def names(page: Page) -> Locator:
    """Of the page shown, in their order."""
    return page.get_by_test_id("members").locator("tbody a.name")


def test_rows_change_by_themselves_and_show_what_changed(
    visit: Visit, service: ConsoleService
) -> None:
    service.tell(person("Liv", "Levende", OSLO))
    page = visit("/medlemmer?sok=Levende")
    liv = row(page, "Liv Levende")
    expect(liv).to_contain_text("Aktiv")

    service.tell(deactivated("Liv", 5))

    expect(liv).to_contain_text("Inaktiv")
    expect(liv.locator("td[data-changed]").first).to_have_text("Inaktiv")
    expect(page.get_by_test_id("said")).to_have_text("Liv Levende: status er endret")

    service.tell(
        reactivated("Liv", 6), role_updated("Liv", 7, roles=[role("coordinator", "HLF Bergen")])
    )

    expect(liv).to_contain_text("Koordinator")
    expect(liv.get_by_text("Aktiv", exact=True)).to_be_visible()


def test_members_come_into_the_list_and_leave_it_by_themselves(
    visit: Visit, service: ConsoleService
) -> None:
    service.tell(person("Gunn", "Gående", OSLO))
    page = visit("/medlemmer?sok=Gående&status=ACTIVE")
    expect(row(page, "Gunn Gående")).to_be_visible()
    expect(page.get_by_test_id("count")).to_have_text("1 medlem")

    service.tell(person("Nils", "Gående", OSLO), deactivated("Gunn", 5))

    expect(row(page, "Nils Gående")).to_contain_text("Ny")
    expect(row(page, "Gunn Gående")).to_have_count(0)


def test_members_are_found_by_words_state_role_and_chapter(visit: Visit) -> None:
    page = visit()
    page.get_by_label("Søk").fill("nordm kar")
    expect(page.get_by_test_id("count")).to_have_text("1 medlem")
    expect(names(page)).to_have_text(["Kari Nordmann"])
    page.get_by_role("button", name="Nullstill").click()

    page.get_by_label("Status", exact=True).select_option("Inaktiv")
    expect(row(page, "Terje Tidligere")).to_be_visible()
    page.get_by_label("Status", exact=True).select_option("Alle")

    page.get_by_label("Rolle").select_option("treasurer")
    expect(page.get_by_test_id("count")).to_have_text("1 medlem")
    expect(names(page)).to_have_text(["Siv Kasserud"])
    page.get_by_label("Rolle").select_option("Alle")

    # The chapter below it, and whoever holds a role there.
    vestland = page.get_by_role("option", name="HLF Vestland").get_attribute("value")
    page.get_by_label("Lag").select_option(vestland)
    expect(row(page, "Bjørn Bergesen")).to_be_visible()
    expect(row(page, "Kari Nordmann")).to_be_visible()
    expect(row(page, "Ola Nordmann")).to_have_count(0)

    # What is shown stands in the address.
    expect(page).to_have_url(re.compile("lag="))


def test_members_are_sorted_and_paged_by_the_service(visit: Visit) -> None:
    page = visit("/medlemmer?sok=Mengde&antall=25")
    expect(page.get_by_text("1–25 av 60")).to_be_visible()
    expect(names(page).first).to_have_text("Nr000 Mengde")

    page.get_by_role("button", name="Neste").click()
    expect(page.get_by_text("26–50 av 60")).to_be_visible()
    expect(names(page).first).to_have_text("Nr025 Mengde")

    page.get_by_role("button", name="Forrige").click()
    expect(page.get_by_text("1–25 av 60")).to_be_visible()

    page.get_by_role("button", name="Navn").click()
    expect(names(page).first).to_have_text("Nr059 Mengde")
    expect(page.locator("th[aria-sort=descending]")).to_have_text("Navn")


def test_coordinators_see_their_chapters_and_nothing_of_the_log(visit: Visit) -> None:
    page = visit("/", "Vigdis")

    expect(row(page, "Siv Kasserud")).to_be_visible()
    expect(row(page, "Ola Nordmann")).to_have_count(0)
    menu = page.get_by_role("navigation", name="Hovedmeny").get_by_role("link")
    expect(menu).to_have_text(["Medlemmer", "Roller"])
    chapters = page.get_by_label("Lag").get_by_role("option")
    expect(chapters).to_have_text(["Alle lag", "HLF Vestland", "HLF Bergen"])


def test_a_member_is_told_whole_and_changes_by_itself(
    visit: Visit, service: ConsoleService
) -> None:
    service.tell(person("Maja", "Medlem", OSLO))
    page = visit("/medlemmer?sok=Maja")
    page.get_by_role("link", name="Maja Medlem").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Maja Medlem")
    expect(page.get_by_text("maja@example.no").first).to_be_visible()
    expect(page.get_by_text(guid("Maja"))).to_be_visible()
    roles = page.get_by_role("table", name="Roller").get_by_role("row")
    expect(roles.nth(1)).to_contain_text("HLF Oslo")
    history = page.get_by_role("region", name="Historikk fra Min side")
    expect(history.get_by_role("link", name="Innmelding")).to_be_visible()

    service.tell(
        updated("Maja", 5, profile={"phone": "+4799999999"}),
        role_updated("Maja", 6, roles=[role("peer-mentor", "HLF Bergen")]),
    )

    expect(page.get_by_role("link", name="+4799999999")).to_be_visible()
    expect(roles.nth(1)).to_contain_text("HLF Bergen")
    expect(roles.nth(1)).to_contain_text("Likeperson")
    expect(history.get_by_role("link", name="Endrede roller")).to_be_visible()
    expect(history).to_contain_text("Telefon satt til +4799999999")


def test_what_one_may_not_see_looks_like_what_does_not_exist(
    visit: Visit, service: ConsoleService
) -> None:
    page = visit(f"/medlemmer/{service.member_id('Ola')}", "Vigdis")

    expect(page.get_by_text("Dette medlemmet finnes ikke")).to_be_visible()


def test_nothing_in_a_name_or_address_is_hidden_or_adds_a_recipient(
    visit: Visit, service: ConsoleService
) -> None:
    email = "liv@example.no?bcc=everybody@evil.example&body=x"
    profile = {"email": email, "phone": "+47 90 00 00 00;ext=1"}
    service.tell(
        person("Liv\u202e", "Skjult\u200bsen", OSLO), updated("Liv\u202e", 2, profile=profile)
    )
    page = visit("/medlemmer?sok=Skjult")
    expect(names(page)).to_have_text("Liv⟨U+202E⟩ Skjult⟨U+200B⟩sen")

    names(page).click()

    expect(page.get_by_role("heading", level=1)).to_contain_text("Liv⟨U+202E⟩")
    expect(page).to_have_title(re.compile("^Liv⟨U\\+202E⟩ Skjult⟨U\\+200B⟩sen – "))
    link = page.get_by_role("link", name="liv@example.no")
    expect(link).to_have_attribute(
        "href", "mailto:liv@example.no%3Fbcc%3Deverybody@evil.example%26body%3Dx"
    )
    expect(page.get_by_role("link", name="+47 90")).to_have_attribute("href", "tel:+47900000001")
