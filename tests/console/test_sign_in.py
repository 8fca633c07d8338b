"""Signing in: at a real OpenID Connect provider, or in development as anybody."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import person
from tests.console.service import ConsoleService, free_port
from tests.support.builders import guid, organization
from tests.support.javascript import NODE, PACKAGES
from tests.support.provider import AUDIENCE, new_key

OSLO = organization("HLF Oslo", "HLF")

STORED = "JSON.stringify([Object.entries(localStorage), Object.entries(sessionStorage)])"


@dataclass
class Provider:
    url: str
    service: ConsoleService


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    """A provider, and a service that takes its tokens and no others."""
    port, console_port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    config = {
        "port": port,
        "keys": [new_key("ES256")],
        "algorithm": "ES256",
        "audience": AUDIENCE,
        "lifetime": 3600,
        "clients": [
            {
                "client_id": "console",
                "token_endpoint_auth_method": "none",
                "redirect_uris": [f"http://127.0.0.1:{console_port}/"],
                "post_logout_redirect_uris": [f"http://127.0.0.1:{console_port}/"],
            }
        ],
    }
    process = subprocess.Popen(  # noqa: S603 -- our program
        [str(NODE), str(PACKAGES / "oidc_provider.mjs"), json.dumps(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == str(port).encode()
    settings = {
        "AUTH_ISSUER": url,
        "AUTH_AUDIENCE": AUDIENCE,
        "CONSOLE_CLIENT_ID": "console",
    }
    service = ConsoleService(tmp_path, settings, console_port)
    service.start()
    yield Provider(url, service)
    service.kill()
    process.kill()
    process.communicate()


def test_sign_in_at_an_identity_provider_lasts_over_a_reload_and_stores_no_token(
    page: Page, provider: Provider
) -> None:
    service = provider.service
    service.tell(person("Kari", "Nordmann", OSLO, "coordinator"))

    page.goto(f"{service.url}/medlemmer?sok=kari")
    page.get_by_role("button", name="Logg inn").click()
    page.wait_for_url(f"{provider.url}/interaction/*")
    page.locator("input[name=login]").fill(guid("Kari"))
    page.locator("input[name=password]").fill("any")
    page.locator("button[type=submit]").click()
    # The first time, the provider asks whether the console may know who it is.
    page.get_by_role("button", name="Continue").click()

    expect(page.get_by_test_id("members")).to_contain_text("Kari Nordmann")
    expect(page.get_by_test_id("link")).to_have_text("Direkte")
    expect(page).to_have_url(f"{service.url}/medlemmer?sok=kari")
    stored = page.evaluate(STORED)
    assert "eyJ" not in stored
    assert "access_token" not in stored

    page.reload()
    expect(page.get_by_test_id("members")).to_contain_text("Kari Nordmann")

    page.locator(".menu-button").click()
    page.get_by_role("button", name="Logg ut").click()
    page.get_by_role("button", name="Yes, sign me out").click()
    expect(page.get_by_role("button", name="Logg inn")).to_be_visible()
    assert "likeperson:signed-in" not in page.evaluate(STORED)


def test_whom_the_service_does_not_know_yet_stays_signed_in_and_may_try_again(
    page: Page, provider: Provider
) -> None:
    page.goto(provider.service.url)
    page.get_by_role("button", name="Logg inn").click()
    page.locator("input[name=login]").fill(guid("Liv"))
    page.locator("input[name=password]").fill("any")
    page.locator("button[type=submit]").click()
    page.get_by_role("button", name="Continue").click()

    expect(page.get_by_role("heading", name="Vi finner deg ikke ennå")).to_be_visible()
    expect(page.get_by_test_id("members")).to_have_count(0)

    provider.service.tell(person("Liv", "Levende", OSLO))
    page.get_by_role("button", name="Prøv igjen").click()

    expect(page.get_by_test_id("members")).to_contain_text("Liv Levende")


def test_in_development_one_chooses_whom_to_be(page: Page, service: ConsoleService) -> None:
    page.goto(service.url)
    expect(page.get_by_role("heading", name="Vis som …")).to_be_visible()

    page.get_by_role("button", name="Vigdis Vestad").click()

    expect(page.get_by_test_id("members")).to_contain_text("Siv Kasserud")
    expect(page.locator(".menu-button")).to_contain_text("Vigdis Vestad")
    assert "eyJ" not in page.evaluate(STORED)
    page.reload()
    expect(page.locator(".menu-button")).to_contain_text("Vigdis Vestad")
    page.locator(".menu-button").click()
    page.get_by_role("button", name="Logg ut").click()
    expect(page.get_by_role("heading", name="Vis som …")).to_be_visible()


def test_a_link_signs_in_once_and_leaves_nothing_in_the_address(
    page: Page, service: ConsoleService
) -> None:
    link = service.link("/roller", "Kari")
    page.goto(link)

    expect(page.locator(".menu-button")).to_contain_text("Kari Nordmann")
    expect(page).to_have_url(f"{service.url}/roller")
    assert "eyJ" not in page.evaluate(STORED)
    page.reload()
    expect(page.get_by_role("heading", name="Vis som …")).to_be_visible()

    page.goto("about:blank")
    page.goto(link)
    expect(page.get_by_role("alert")).to_contain_text("Lenken er brukt")
    expect(page).to_have_url(f"{service.url}/roller")


def test_a_token_in_the_address_is_not_used(page: Page, service: ConsoleService) -> None:
    page.goto(f"{service.url}/#token={service.token('Kari')}")

    expect(page.get_by_role("alert")).to_contain_text("adressen godtas ikke")
    expect(page).to_have_url(f"{service.url}/")
    expect(page.get_by_role("heading", name="Vis som …")).to_be_visible()


def test_neither_a_token_nor_a_code_in_the_address_signs_in_where_a_provider_does(
    page: Page, provider: Provider
) -> None:
    service = provider.service
    for link in (f"{service.url}/#token={service.token()}", service.link()):
        page.goto("about:blank")
        page.goto(link)

        expect(page.get_by_role("alert")).to_be_visible()
        expect(page.get_by_role("button", name="Logg inn", exact=True)).to_be_visible()
        expect(page.get_by_label("Innloggingslenke")).to_have_count(0)
        assert "#" not in page.url


def test_a_token_is_pasted_and_stored_nowhere(page: Page, service: ConsoleService) -> None:
    page.goto(service.url)
    page.get_by_label("Innloggingslenke").fill(f" Bearer {service.token('Kari')}\n")
    page.get_by_role("button", name="Logg inn med lenken").click()

    expect(page.locator(".menu-button")).to_contain_text("Kari Nordmann")
    assert "eyJ" not in page.evaluate(STORED)


def test_a_token_that_is_not_taken_is_an_expired_session(
    page: Page, service: ConsoleService
) -> None:
    page.goto(service.url)
    page.get_by_label("Innloggingslenke").fill("nonsense")
    page.get_by_role("button", name="Logg inn med lenken").click()

    expect(page.get_by_role("alert")).to_contain_text("Økten din er utløpt")
