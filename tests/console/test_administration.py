"""The health of the sync and the role catalogue, for those who answer for the data."""

from playwright.sync_api import expect

from tests.console.conftest import Visit, person
from tests.console.service import ConsoleService
from tests.support.builders import organization

OSLO = organization("HLF Oslo", "HLF")


def test_new_roles_stand_out_and_a_change_says_first_how_many_it_touches(
    visit: Visit, service: ConsoleService
) -> None:
    service.tell(person("Vera", "Verv", OSLO, "auditor"), person("Vidar", "Verv", OSLO, "auditor"))
    page = visit("/roller", "Astrid")
    auditor = page.locator("tr[data-role=auditor]")
    expect(auditor).to_contain_text("Ny")
    expect(page.get_by_text("venter på at noen velger tilgang")).to_be_visible()

    auditor.get_by_role("button").click()
    page.get_by_role("radio", name="Likeperson").check()
    expect(page.get_by_test_id("affected")).to_contain_text("2 medlemmer har rollen")
    before = service.data("{ roles { code accessLevel } }")["roles"]
    page.get_by_role("button", name="Endre tilgangen").click()

    expect(auditor).to_contain_text("Likeperson")
    expect(auditor).not_to_contain_text("Ny")
    after = service.data("{ roles { code accessLevel } }")["roles"]
    assert {"code": "auditor", "accessLevel": "MEMBER"} in before
    assert {"code": "auditor", "accessLevel": "PEER_MENTOR"} in after


def test_roles_are_only_shown_to_those_who_may_not_change_them(visit: Visit) -> None:
    page = visit("/roller", "Bjørn")

    expect(page.locator("tr[data-role=coordinator]")).to_be_visible()
    expect(page.get_by_text("Bare administratorer i HLF sentralt")).to_be_visible()
    expect(page.get_by_test_id("catalogue").get_by_role("button")).to_have_count(0)


def test_the_health_says_in_a_sentence_whether_all_is_well(
    visit: Visit, own_service: ConsoleService
) -> None:
    own_service.tell(*(person(f"P{number}", "Frisk", OSLO) for number in range(10)))
    page = visit("/driftsstatus", at=own_service)
    expect(page.get_by_test_id("verdict")).to_contain_text("Alt er i orden.")
    expect(page.get_by_test_id("health-banner")).to_have_count(0)

    own_service.deliver(b"not JSON")
    own_service.deliver(b"{}")

    verdict = page.get_by_test_id("verdict")
    expect(verdict).to_contain_text("2 hendelser fra portal kunne ikke leses.", timeout=15_000)
    reasons = page.get_by_role("table", name="Avvist siste døgn")
    expect(reasons).to_contain_text("Innholdet er ikke gyldig JSON.")
    expect(reasons).to_contain_text("Meldingen mangler type")
    page.get_by_role("link", name="Medlemmer").click()
    expect(page.get_by_test_id("health-banner")).to_contain_text("2 hendelser fra portal")
    page.get_by_role("link", name="Se driftsstatus").click()
    page.get_by_role("link", name="Se hendelsene").click()
    expect(page.get_by_test_id("log").locator("tbody tr")).to_have_count(2)


def test_concern_is_taken_on_or_its_events_are_processed_again(
    visit: Visit, own_service: ConsoleService
) -> None:
    own_service.tell(person("Eva", "Ny", OSLO, "treasurer"))
    own_service.deliver(b"{}")
    page = visit("/driftsstatus", at=own_service)
    roles = page.get_by_test_id("concern-UNDECIDED_ROLES")
    expect(roles).to_contain_text("1 ny rolle mangler tilgang.")

    roles.get_by_role("button", name="Ta ansvar for denne").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Andre ser at du følger den opp")
    dialog.get_by_role("button", name="Jeg følger den opp").click()

    expect(roles).to_contain_text("Følges opp av operator")
    expect(roles.get_by_role("button")).to_have_count(0)
    page.get_by_role("link", name="Medlemmer").click()
    banner = page.get_by_test_id("health-banner")
    expect(banner).to_contain_text("1 hendelse fra portal kunne ikke leses.")
    expect(banner).not_to_contain_text("ny rolle")
    page.get_by_role("link", name="Se driftsstatus").click()
    rejections = page.get_by_test_id("concern-REJECTIONS")
    rejections.get_by_role("button", name="Behandle på nytt").click()
    expect(page.get_by_test_id("expected")).to_contain_text("1 hendelse.")


def test_correction_shows_what_it_would_change_before_it_is_made(
    visit: Visit, service: ConsoleService
) -> None:
    service.tell(person("Rita", "Rettet", OSLO, "coordinator"))
    page = visit("/medlemmer?sok=Rettet", "Astrid")
    page.get_by_role("link", name="Rita Rettet").click()
    page.get_by_role("button", name="Rett opplysninger").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Vis hva som endres").click()
    expect(dialog.get_by_test_id("refused")).to_contain_text("Skriv hvorfor")

    dialog.get_by_label("Telefon").fill("+4791234567")
    dialog.get_by_label("Status").select_option("INACTIVE")
    dialog.get_by_label("Koordinator (Eget lag)").uncheck()
    dialog.get_by_label("Hvorfor").fill("Meldt ut på telefon")
    dialog.get_by_role("button", name="Vis hva som endres").click()
    expected = dialog.get_by_test_id("correction")
    expect(expected).to_contain_text("Telefon: – +4791234567")
    expect(expected).to_contain_text("Status: Aktiv Inaktiv")
    expect(expected).to_contain_text("Roller: Koordinator, Medlem Medlem")
    by_number = '{ members(filter: {search: "Rettet"}) { edges { node { phone state } } } }'
    assert service.data(by_number)["members"]["edges"] == [
        {"node": {"phone": None, "state": "ACTIVE"}}
    ]
    dialog.get_by_role("button", name="Rett opplysningene").click()

    expect(dialog).to_have_count(0)
    origin = page.get_by_test_id("provenance")
    expect(origin.get_by_role("row", name="Telefon")).to_contain_text("Rettet for hånd")
    expect(origin.get_by_role("row", name="Fornavn")).to_contain_text("Innmelding")
    expect(page.get_by_role("link", name="+4791234567")).to_be_visible()


def test_administrators_of_a_chapter_see_where_it_comes_from_and_correct_nothing(
    visit: Visit, service: ConsoleService
) -> None:
    page = visit("/medlemmer?sok=Kasserud", "Bjørn")
    page.get_by_role("link", name="Siv Kasserud").click()

    expect(page.get_by_test_id("provenance")).to_contain_text("Innmelding")
    expect(page.get_by_role("button", name="Rett opplysninger")).to_have_count(0)
