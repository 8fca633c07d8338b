"""The sync log: what came, what became of it, and replay with the count first."""

from playwright.sync_api import expect

from tests.console.conftest import Visit, person
from tests.console.service import ConsoleService
from tests.support.builders import organization, updated

OSLO = organization("HLF Oslo", "HLF")


def entry_of(service: ConsoleService, name: str, type: str) -> str:
    query = """query ($filter: SyncLogFilter) {
      syncLog(filter: $filter, first: 1) { edges { node { id } } } }"""
    filter = {"memberId": service.member_id(name), "eventType": [type]}
    ((edge),) = service.data(query, filter=filter)["syncLog"]["edges"]
    id: str = edge["node"]["id"]
    return id


def test_events_appear_by_themselves_and_are_filtered(
    visit: Visit, service: ConsoleService
) -> None:
    page = visit("/logg?status=REJECTED")
    rows = page.get_by_test_id("log").locator("tbody tr")
    expect(rows.first).to_contain_text("Avvist")
    before = rows.count()

    service.deliver(b"not JSON")
    service.tell(
        person("Lise", "Loggen", OSLO), updated("Lise", 20, profile={"phone": "+4790000020"})
    )

    expect(rows).to_have_count(before + 1)
    expect(rows.first).to_contain_text("Innholdet er ikke gyldig JSON.")
    page.get_by_label("Status", exact=True).select_option("Utført")
    expect(rows.first).to_contain_text("Endrede opplysninger")
    expect(rows.first).to_contain_text("Lise Loggen")
    page.get_by_label("Hendelse", exact=True).select_option("Utmelding")
    expect(rows.filter(has_text="Terje")).to_contain_text("Oppgitt årsak: flyttet til utlandet")
    page.get_by_text("Flere filtre").click()
    page.get_by_label("Til").fill("2024-01-01T12:00")
    expect(page.get_by_text("Ingen treff")).to_be_visible()


def test_an_event_is_told_field_by_field_with_its_attempts_and_its_body(
    visit: Visit, service: ConsoleService
) -> None:
    service.tell(
        person("Hans", "Hendelse", OSLO), updated("Hans", 5, profile={"phone": "+4790000021"})
    )
    address = f"/logg/{entry_of(service, 'Hans', 'membership-updated')}"

    page = visit(address)

    expect(page.get_by_role("heading", level=1)).to_have_text("Endrede opplysninger")
    changes = page.get_by_role("table", name="Hva som ble endret")
    expect(changes.get_by_role("row").last).to_have_text("Telefon–+4790000021")
    expect(page.get_by_test_id("attempts").get_by_role("row")).to_have_count(2)
    expect(page.get_by_test_id("payload")).to_have_count(0)
    page.get_by_role("button", name="Vis innholdet").click()
    expect(page.get_by_test_id("payload")).to_contain_text('"phone": "+4790000021"')


def test_the_body_is_not_shown_to_administrators_of_a_chapter(
    visit: Visit, service: ConsoleService
) -> None:
    address = f"/logg/{entry_of(service, 'Siv', 'membership-created')}"

    national = visit(address, "Astrid")
    expect(national.get_by_role("button", name="Vis innholdet")).to_be_visible()
    page = visit(address, "Bjørn")

    expect(page.get_by_role("heading", level=1)).to_have_text("Innmelding")
    expect(page.get_by_test_id("attempts")).to_be_visible()
    expect(page.get_by_role("button", name="Vis innholdet")).to_have_count(0)


def test_one_event_is_replayed_after_it_was_told_what_would_change(
    visit: Visit, service: ConsoleService
) -> None:
    service.tell(person("Rita", "Repris", OSLO))
    page = visit(f"/logg/{entry_of(service, 'Rita', 'membership-created')}")

    page.get_by_role("button", name="Behandle på nytt").click()
    expect(page.get_by_test_id("expected")).to_contain_text("1 hendelse.")
    expect(page.get_by_test_id("expected")).to_contain_text("Ingen medlemmer vil bli endret.")
    page.get_by_label("Hvorfor").fill("Bare for å prøve")
    page.get_by_role("button", name="Behandle 1 hendelse på nytt").click()

    expect(page.get_by_test_id("replayed")).to_contain_text("1 hendelse er behandlet på nytt.")
    page.get_by_role("button", name="Lukk").last.click()
    attempts = page.get_by_test_id("attempts").get_by_role("row")
    expect(attempts).to_have_count(3)
    expect(attempts.last).to_contain_text("Behandlet på nytt")
    expect(attempts.last).to_contain_text("«Bare for å prøve»")


def test_selected_events_and_all_that_match_are_replayed(
    visit: Visit, service: ConsoleService
) -> None:
    service.tell(
        person("Sara", "Serie", OSLO),
        updated("Sara", 1, profile={"phone": "+4790000022"}),
        updated("Sara", 2, profile={"phone": "+4790000023"}),
    )
    page = visit(f"/logg?medlem={service.member_id('Sara')}")
    expect(page.get_by_test_id("count")).to_have_text("3 hendelser")
    expect(page.get_by_role("button", name="Bare Sara Serie")).to_be_visible()
    expect(page.get_by_role("button", name="Behandle valgte på nytt")).to_be_disabled()

    boxes = page.get_by_test_id("log").locator("tbody").get_by_role("checkbox")
    boxes.nth(0).check()
    boxes.nth(1).check()
    page.get_by_role("button", name="Behandle 2 valgte på nytt").click()
    expect(page.get_by_test_id("expected")).to_contain_text("2 hendelser.")
    page.get_by_role("button", name="Avbryt").click()
    page.get_by_role("button", name="Behandle alle treff på nytt").click()
    expect(page.get_by_test_id("expected")).to_contain_text("3 hendelser.")
    page.get_by_role("button", name="Behandle 3 hendelser på nytt").click()

    expect(page.get_by_test_id("replayed")).to_contain_text("3 hendelser er behandlet på nytt.")
    phone = service.data(
        "query ($id: ID!) { member(by: {id: $id}) { phone } }", id=service.member_id("Sara")
    )
    assert phone["member"]["phone"] == "+4790000023"
