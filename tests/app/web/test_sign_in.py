"""How one signs in to the console: by the identity provider, or in development as anybody."""

import json
import time
from typing import Any

import httpx
import pytest

from app.auth import own_tokens
from app.auth.own_tokens import SignInCodes, mint_code
from app.server import running
from app.settings import DEVELOPMENT_AUTH_SECRET, Settings
from tests.support.answers import codes
from tests.support.builders import created, deactivated, guid, organization, role
from tests.support.service import DEADLINE, Service

VIEWER = "{ viewer { accessLevel member { portalId } } }"


async def ways(service: Service) -> dict[str, Any]:
    response = await service.http.get(f"{service.url}/sign-in")
    assert response.headers["cache-control"] == "no-store"
    found: dict[str, Any] = response.json()
    return found


async def test_in_development_one_can_be_an_operator_or_somebody_of_each_level(
    service: Service,
) -> None:
    levels = {"Admin": "organization-administrator", "Coordinator": "coordinator"}
    for name, code in levels.items():
        await service.tell(created(name, roles=[role(code)]))
    await service.tell(created("Left", roles=[role("coordinator")]), deactivated("Left"))
    await service.tell(created("Kari", organization=organization("HLF Bergen")))

    people = (await ways(service))["people"]

    assert [(it["name"], it["accessLevel"], it["organization"]) for it in people] == [
        (None, "ADMIN", None),
        ("Admin Nordmann", "ADMIN", "HLF Oslo"),
        ("Coordinator Nordmann", "COORDINATOR", "HLF Oslo"),
        ("Kari Nordmann", "MEMBER", "HLF Bergen"),
    ]
    viewers = [(await service.data(VIEWER, token=it["token"]))["viewer"] for it in people]
    assert [it["member"] and it["member"]["portalId"] for it in viewers] == [
        None,
        *(guid(name) for name in ("Admin", "Coordinator", "Kari")),
    ]


@pytest.mark.parametrize(
    "given",
    [
        {"env": "production"},
        {"auth_secret": "a secret that is known to nobody else"},
        {"auth_issuer": "https://id.example.no", "auth_audience": "likeperson"},
    ],
    ids=["production", "own secret", "identity provider"],
)
async def test_tokens_are_given_away_only_where_everybody_can_make_them(
    settings: Settings, given: dict[str, Any]
) -> None:
    """Settings of production with the known secret are refused at the start; here is the rest."""
    settings = Settings(**{**settings.model_dump(), **given})
    async with running(settings) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        found = await ways(Service(url, http, settings))

    assert found == {"oidc": None, "people": None}


async def test_the_console_is_told_where_to_sign_in(settings: Settings) -> None:
    provider = {"auth_issuer": "https://id.example.no", "auth_audience": "likeperson"}
    client = {"console_client_id": "console", "console_scope": "openid profile"}
    settings = Settings(**{**settings.model_dump(), **provider, **client})
    async with running(settings) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        found = await ways(Service(url, http, settings))

    assert settings.auth_secret.get_secret_value() == DEVELOPMENT_AUTH_SECRET
    assert found == {
        "oidc": {
            "issuer": "https://id.example.no",
            "clientId": "console",
            "scope": "openid profile",
        },
        "people": None,
    }


async def exchanged(service: Service, body: object) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await service.http.post(f"{service.url}/sign-in", content=content)


@pytest.mark.parametrize("operator", [True, False])
async def test_code_of_a_link_is_exchanged_for_a_token_once(
    service: Service, operator: bool
) -> None:
    await service.tell(created("Kari"))
    code = mint_code(service.settings, guid("Kari" if not operator else "x"), operator=operator)

    first, second = [await exchanged(service, {"code": code}) for _ in range(2)]

    assert first.status_code == 200
    assert first.headers["cache-control"] == "no-store"
    token = first.json()["token"]
    viewer = (await service.data(VIEWER, token=token))["viewer"]
    assert viewer["accessLevel"] == ("ADMIN" if operator else "MEMBER")
    assert second.status_code == 403
    assert "token" not in second.json()


async def test_code_is_no_token_and_a_token_is_no_code(service: Service) -> None:
    code = mint_code(service.settings, "somebody", operator=True)

    answer = await service.ask(VIEWER, token=code)
    refused = await exchanged(service, {"code": service.token()})

    assert codes(answer) == ["UNAUTHENTICATED"]
    assert refused.status_code == 403


async def test_code_that_is_a_minute_old_is_refused(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_tokens, "CODE_SECONDS", -1)
    code = mint_code(service.settings, "somebody", operator=True)

    assert (await exchanged(service, {"code": code})).status_code == 403


def test_codes_are_remembered_no_longer_than_they_are_valid(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in = SignInCodes(settings)
    for _ in range(3):
        assert sign_in.exchange(mint_code(settings, "somebody", operator=True)) is not None
    assert len(sign_in._used) == 3

    later = time.time() + own_tokens.CODE_SECONDS + 1
    fresh = mint_code(settings, "somebody", operator=True)
    monkeypatch.setattr(time, "time", lambda: later)
    assert sign_in.exchange(fresh) is not None

    assert len(sign_in._used) == 1


MALFORMED = [b"", b"{", b"[]", b"{}", b'{"code": 7}', b'{"code": "' + b"x" * 5000 + b'"}', b"\xff"]


@pytest.mark.parametrize("body", MALFORMED, ids=lambda body: repr(body[:12]))
async def test_body_without_a_code_is_refused(service: Service, body: bytes) -> None:
    assert (await exchanged(service, body)).status_code == 400


@pytest.mark.parametrize("code", ["", "x", "a.b.c", "\ud800", "é"])
async def test_text_that_is_no_code_is_refused(service: Service, code: str) -> None:
    assert (await exchanged(service, {"code": code})).status_code in (400, 403)


async def test_no_code_is_exchanged_where_an_identity_provider_issues_tokens(
    settings: Settings,
) -> None:
    code = mint_code(settings, "somebody", operator=True)
    provider = {"auth_issuer": "https://id.example.no", "auth_audience": "likeperson"}
    settings = Settings(**{**settings.model_dump(), **provider})
    async with running(settings) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        refused = await exchanged(Service(url, http, settings), {"code": code})

    assert refused.status_code == 403
