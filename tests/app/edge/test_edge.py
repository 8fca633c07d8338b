"""What stands around every route: headers, origins, proxies, slow bodies and doubtful senders."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from app.edge import layers
from tests.support.builders import body_of, created
from tests.support.guarded import guarded_service
from tests.support.service import DEADLINE, Service, signed_headers
from tests.support.sockets import opened

VIEWER = "{ viewer { accessLevel } }"
ASKED = {"query": VIEWER}


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here is a matter of the database."""
    return sqlite_url


def directives(response: httpx.Response) -> dict[str, list[str]]:
    policy = response.headers["content-security-policy"]
    return {name: values for name, *values in (part.split() for part in policy.split(";"))}


async def test_pages_may_load_from_here_alone_and_run_no_script_that_stands_in_them(
    service: Service,
) -> None:
    for path in ("/", "/medlemmer", "/graphiql"):
        policy = directives(await service.http.get(service.url + path))

        assert policy["default-src"] == ["'none'"]
        assert policy["script-src"] == ["'self'"]
        assert policy["connect-src"] == ["'self'"]
        assert policy["frame-ancestors"] == ["'none'"]
        assert policy["base-uri"] == ["'none'"]


async def test_pages_may_connect_to_where_one_signs_in(sqlite_url: str) -> None:
    issuer = {"auth_issuer": "https://id.example/realms/hlf", "auth_audience": "sync"}
    async with guarded_service(sqlite_url, **issuer) as service:
        page = await service.http.get(service.url)

    assert directives(page)["connect-src"] == ["'self'", "https://id.example"]


async def test_every_answer_carries_the_headers_that_keep_browsers_out_of_mischief(
    service: Service,
) -> None:
    requests = [
        ("GET", "/"),
        ("GET", "/graphiql"),
        ("GET", "/no-such-page"),
        ("GET", "/healthz"),
        ("GET", "/metrics"),
        ("POST", "/graphql"),
        ("PUT", "/graphql"),
        ("POST", "/webhooks/portal"),
        ("POST", "/webhooks/nobody"),
    ]
    for method, path in requests:
        response = await service.http.request(method, service.url + path)

        assert response.headers["x-content-type-options"] == "nosniff", path
        assert response.headers["x-frame-options"] == "DENY"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert directives(response)["default-src"] == ["'none'"]
        # Over plain HTTP, browsers must ignore it.
        assert "strict-transport-security" not in response.headers
    answer = await service.http.post(f"{service.url}/graphql", json=ASKED)
    assert answer.headers["cache-control"] == "no-store"


async def test_behind_a_proxy_that_ends_tls_browsers_are_told_to_stay_with_tls(
    sqlite_url: str,
) -> None:
    forwarded = {"X-Forwarded-Proto": "https"}
    async with guarded_service(sqlite_url, trusted_proxies=("127.0.0.0/8",)) as service:
        trusted = await service.http.get(service.url, headers=forwarded)
    async with guarded_service(sqlite_url, trusted_proxies=("10.0.0.1",)) as service:
        foreign = await service.http.get(service.url, headers=forwarded)

    assert "max-age=" in trusted.headers["strict-transport-security"]
    assert "strict-transport-security" not in foreign.headers


OURS, FRIEND, FOREIGN = "the service's own", "https://app.example", "https://evil.example"
ORIGINS: list[tuple[dict[str, str], bool]] = [
    ({}, True),
    ({"Origin": OURS}, True),
    ({"Origin": FRIEND}, True),
    ({"Origin": FRIEND, "Sec-Fetch-Site": "cross-site"}, True),
    ({"Origin": FOREIGN}, False),
    ({"Origin": FOREIGN, "Sec-Fetch-Site": "same-origin"}, False),
    ({"Origin": FRIEND + ".evil.example"}, False),
    ({"Origin": "http://app.example"}, False),
    ({"Origin": "null"}, False),
    ({"Origin": ""}, False),
    ({"Origin": "http://["}, False),
    ({"Sec-Fetch-Site": "cross-site"}, False),
    ({"Sec-Fetch-Site": "same-origin"}, True),
]


@pytest.mark.parametrize(("given", "welcome"), ORIGINS, ids=str)
async def test_pages_of_other_origins_may_not_use_the_api(
    given: dict[str, str], welcome: bool, sqlite_url: str
) -> None:
    async with guarded_service(sqlite_url, allowed_origins=(FRIEND,)) as service:
        headers = {name: service.url if v == OURS else v for name, v in given.items()}
        token = service.token()
        authorization = {"Authorization": f"Bearer {token}"}
        url = f"{service.url}/graphql"

        answer = await service.http.post(url, json=ASKED, headers={**headers, **authorization})
        by_get = await service.http.get(url, params=ASKED, headers={**headers, **authorization})

        for response in (answer, by_get):
            assert response.status_code == (200 if welcome else 403)
            assert ("data" in response.json()) is welcome
        if welcome:
            async with opened(service.url, token, **headers) as socket:
                assert await socket.next() == {"type": "connection_ack"}
        else:
            with pytest.raises(InvalidStatus) as refused:
                async with opened(service.url, token, **headers):
                    pass
            assert refused.value.response.status_code == 403


async def test_whoever_is_turned_away_is_told_the_id_of_the_request(sqlite_url: str) -> None:
    async with guarded_service(sqlite_url) as service:
        url = f"{service.url}/graphql"
        id = {"X-Request-Id": "of-the-caller.1"}
        turned_away = [
            await service.http.post(url, json=ASKED, headers={"Origin": FOREIGN, **id}),
            await service.http.get(url, params=ASKED, headers=id),
        ]

    for response in turned_away:
        (error,) = response.json()["errors"]
        assert response.status_code == 403
        assert error["extensions"] == {"code": "FORBIDDEN", "requestId": "of-the-caller.1"}
        assert response.headers["x-request-id"] == "of-the-caller.1"


async def test_browsers_are_told_which_other_origins_may_ask_and_what_they_may_read(
    sqlite_url: str,
) -> None:
    asking = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    async with guarded_service(sqlite_url, allowed_origins=(FRIEND,)) as service:
        url = f"{service.url}/graphql"
        friend = await service.http.options(url, headers={"Origin": FRIEND, **asking})
        foreign = await service.http.options(url, headers={"Origin": FOREIGN, **asking})
        answer = await service.http.post(url, json=ASKED, headers={"Origin": FRIEND})

    assert friend.status_code == 200
    assert friend.headers["access-control-allow-origin"] == FRIEND
    assert "authorization" in friend.headers["access-control-allow-headers"]
    assert foreign.status_code == 403
    assert "access-control-allow-origin" not in foreign.headers
    assert answer.headers["access-control-allow-origin"] == FRIEND
    assert "retry-after" in answer.headers["access-control-expose-headers"].lower()
    assert "access-control-allow-credentials" not in answer.headers


async def test_no_other_origin_may_ask_unless_it_is_configured(service: Service) -> None:
    response = await service.http.options(
        f"{service.url}/graphql",
        headers={"Origin": FRIEND, "Access-Control-Request-Method": "POST"},
    )

    assert response.status_code == 403
    assert "access-control-allow-origin" not in response.headers


async def test_get_takes_a_header_that_no_page_can_make_a_visitor_send(sqlite_url: str) -> None:
    async with guarded_service(sqlite_url) as service:
        url = f"{service.url}/graphql"
        authorization = {"Authorization": f"Bearer {service.token()}"}

        bare = await service.http.get(url, params=ASKED)
        bare_head = await service.http.head(url, params=ASKED)
        known = await service.http.get(url, params=ASKED, headers=authorization)
        posted = await service.http.post(url, json=ASKED)

    assert (bare.status_code, bare_head.status_code) == (403, 403)
    assert bare.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert known.json()["data"] == {"viewer": {"accessLevel": "ADMIN"}}
    assert posted.json()["data"] == {"viewer": None}


@pytest.mark.parametrize("path", ["/graphql", "/webhooks/portal"])
async def test_body_that_does_not_arrive_in_time_is_given_up(
    path: str, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "BODY_SECONDS", 0.2)
    async with guarded_service(sqlite_url) as service, asyncio.timeout(DEADLINE):
        address = urlsplit(service.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: 100\r\n\r\n{{".encode())

        answer = await reader.read()
        writer.close()
        meanwhile = await service.http.post(f"{service.url}/graphql", json=ASKED)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"\r\nconnection: close\r\n" in answer.lower()
    assert meanwhile.status_code == 200


def refused_delivery() -> dict[str, Any]:
    body = body_of(created("Kari"))
    secret = "whsec_" + "A" * 44
    return {"content": body, "headers": signed_headers(body, "evt_1", secret)}


async def test_sender_whose_deliveries_are_not_believed_is_asked_to_wait_and_nobody_else(
    sqlite_url: str,
) -> None:
    proxy = {"trusted_proxies": ("127.0.0.1",), "failures_per_minute": 3}
    async with guarded_service(sqlite_url, **proxy) as service:
        url = f"{service.url}/webhooks/portal"
        bad = refused_delivery()
        here, elsewhere = ({"X-Forwarded-For": a} for a in ("192.0.2.1", "192.0.2.2"))

        statuses = []
        for origin in [here] * 5 + [elsewhere]:
            headers = {**bad["headers"], **origin}
            response = await service.http.post(url, content=bad["content"], headers=headers)
            statuses.append(response.status_code)
            if response.status_code == 503:
                assert 0 < int(response.headers["retry-after"]) <= 60
                assert response.headers["content-type"] == "application/problem+json"
        good = await service.deliver(created("Kari"), x_forwarded_for="192.0.2.1")
        members = await service.data("{ members { totalCount } }")

    assert statuses == [401, 401, 401, 503, 503, 401]
    assert good.status_code == 200
    assert members["members"]["totalCount"] == 1


async def test_address_that_a_stranger_claims_to_forward_for_is_not_believed(
    sqlite_url: str,
) -> None:
    async with guarded_service(sqlite_url, failures_per_minute=2) as service:
        bad = refused_delivery()
        statuses = []
        for number in range(4):
            headers = {**bad["headers"], "X-Forwarded-For": f"192.0.2.{number}"}
            response = await service.http.post(
                f"{service.url}/webhooks/portal", content=bad["content"], headers=headers
            )
            statuses.append(response.status_code)

    assert statuses == [401, 401, 503, 503]
