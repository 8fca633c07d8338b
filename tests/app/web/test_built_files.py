"""The files of the web pages are sent compressed, and kept by browsers for as long as they hold."""

import gzip
import re

import httpx
import pytest

from tests.support.service import Service

MOST_SCRIPT_BYTES = 250_000


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here is a matter of the database."""
    return sqlite_url


async def get(service: Service, path: str, **headers: str) -> httpx.Response:
    return await service.http.get(
        f"{service.url}{path}",
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


async def script_of(service: Service, page: str = "/") -> str:
    html = (await get(service, page)).text
    path = re.search(r'<script[^>]+src="([^"]+\.js)"', html)
    assert path is not None
    return path[1]


async def raw(service: Service, path: str, encoding: str) -> tuple[httpx.Response, bytes]:
    url = f"{service.url}{path}"
    async with service.http.stream("GET", url, headers={"accept-encoding": encoding}) as response:
        return response, b"".join([chunk async for chunk in response.aiter_raw()])


async def test_scripts_are_compressed_for_those_who_take_it(service: Service) -> None:
    path = await script_of(service)

    packed, sent = await raw(service, path, "br, gzip;q=0.8")
    plain, whole = await raw(service, path, "gzip;q=0, identity")

    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(sent) == whole
    assert len(sent) < MOST_SCRIPT_BYTES
    for response in (packed, plain):
        assert response.headers["content-type"].startswith("text/javascript")
        assert response.headers["vary"] == "Accept-Encoding"
    assert packed.headers["etag"] != plain.headers["etag"]


async def test_files_named_by_their_content_are_kept_and_pages_asked_for_again(
    service: Service,
) -> None:
    script = await get(service, await script_of(service))
    pages = [await get(service, path) for path in ("/", "/graphiql/")]

    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert [page.headers["cache-control"] for page in pages] == ["no-cache", "no-cache"]


async def test_file_that_has_not_changed_is_not_sent_again(service: Service) -> None:
    path = await script_of(service)
    first = await get(service, path, accept_encoding="gzip")

    again = await get(service, path, accept_encoding="gzip", if_none_match=first.headers["etag"])

    assert (again.status_code, again.content) == (304, b"")


async def test_answers_of_the_api_are_not_compressed(service: Service) -> None:
    response = await service.http.post(
        f"{service.url}/graphql",
        json={"query": "{ __schema { types { name description } } }"},
        headers={"Authorization": f"Bearer {service.token()}", "Accept-Encoding": "gzip"},
    )

    assert "content-encoding" not in response.headers
    assert len(response.content) > 5_000
