"""How one signs in to the console: by the identity provider, or in development as anybody."""

from typing import Any

import httpx
import pytest

from app.server import running
from app.settings import DEVELOPMENT_AUTH_SECRET, Settings
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
