"""An address of nothing: browsers get a page that says so, programs a problem document."""

import httpx
import pytest

from tests.support.service import Service


@pytest.mark.parametrize("path", ["/nonsense", "/medlemmene", "/webhooks", "/a/b/c"])
async def test_browsers_get_a_page_and_programs_a_problem(service: Service, path: str) -> None:
    browser = await asked(service, "GET", path, "text/html,application/xhtml+xml")
    program = await asked(service, "GET", path, "application/json")
    sender = await asked(service, "POST", path, "text/html")

    assert [answer.status_code for answer in (browser, program, sender)] == [404, 404, 404]
    assert browser.headers["content-type"].startswith("text/html")
    for answer in (program, sender):
        assert answer.headers["content-type"] == "application/problem+json"


async def asked(service: Service, method: str, path: str, accept: str) -> httpx.Response:
    return await service.http.request(method, service.url + path, headers={"Accept": accept})
