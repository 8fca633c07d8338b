"""GraphiQL: one token for queries and the socket, written down nowhere."""

import re

from playwright.sync_api import Page, expect

from tests.console.service import ConsoleService
from tests.support.builders import updated

# Between words, the editor writes blanks of its own.
OF_THE_TAB_BEFORE = r"has\s+no\s+operation"


def run_until(page: Page, text: str) -> None:
    """GraphiQL reads a document in the background; until then it asks for the tab before."""
    run = page.get_by_role("button", name="Execute query (Ctrl-Enter)")
    result = page.locator(".graphiql-response")
    answered = re.compile(f"{text}|{OF_THE_TAB_BEFORE}")
    run.click()
    expect(result).to_contain_text(answered)
    while re.search(OF_THE_TAB_BEFORE, result.inner_text()):
        run.click()
        expect(result).to_contain_text(answered)
    expect(result).to_contain_text(text)


def test_an_administrator_finds_what_they_need_in_the_tabs(
    page: Page, service: ConsoleService
) -> None:
    page.goto(service.link("/graphiql", "Astrid"))
    run = page.get_by_role("button", name="Execute query (Ctrl-Enter)")
    result = page.locator(".graphiql-response")
    expect(run).to_be_visible()

    editor = page.locator(".graphiql-query-editor")

    page.get_by_role("tab", name="FailedEvents").click()
    expect(editor).to_contain_text("FailedEvents")
    run.click()
    expect(result).to_contain_text('"syncLog"')
    page.get_by_role("tab", name="HistoryOfMember").click()
    expect(editor).to_contain_text("HistoryOfMember")
    run_until(page, '"members"')
    page.get_by_role("tab", name="LiveLog").click()
    expect(editor).to_contain_text("LiveLog")
    run_until(page, "StreamHeartbeat")
    service.tell(updated("Ola", 30, profile={"phone": "+4790000030"}))
    expect(result).to_contain_text("SyncLogChange")

    stored = page.evaluate("JSON.stringify(Object.entries(localStorage))")
    assert "FailedEvents" in stored
    assert "eyJ" not in stored
    assert "token" not in page.url


def test_a_token_in_the_address_is_not_used(page: Page, service: ConsoleService) -> None:
    page.goto(f"{service.url}/graphiql#token={service.token('Astrid')}")

    expect(page.get_by_role("button", name="Execute query (Ctrl-Enter)")).to_be_visible()
    expect(page).to_have_url(f"{service.url}/graphiql")
    assert "eyJ" not in page.content()
