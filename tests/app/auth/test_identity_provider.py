"""Tokens of a real OpenID Connect provider: found, verified, rotated, and used while it is away."""

import asyncio
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.utils import base64url_encode

from app.auth import provider as provider_module
from app.server import running
from app.settings import DEVELOPMENT_AUTH_SECRET, Settings
from tests.support.answers import codes
from tests.support.builders import created, guid
from tests.support.provider import AUDIENCE, Provider, identity_provider, new_key
from tests.support.service import DEADLINE, Service

pytestmark = pytest.mark.child_process

VIEWER = "{ viewer { accessLevel credentialsExpireAt member { givenName } } }"


@asynccontextmanager
async def service_of(provider: Provider, database_url: str, **given: Any) -> AsyncIterator[Service]:
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]  # pydantic-settings takes it at run time
        database_url=database_url,
        port=0,
        log_level="warning",
        auth_issuer=provider.url,
        auth_audience=AUDIENCE,
        **given,
    )
    async with running(settings) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        yield Service(url, http, settings)


async def access_level(service: Service, token: str) -> str | None:
    """Returns the access level of the viewer, or None if the token is refused."""
    answer = await service.ask(VIEWER, token=token)
    if codes(answer) == ["UNAUTHENTICATED"]:
        return None
    level: str = answer["data"]["viewer"]["accessLevel"]
    return level


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_members_and_operators_of_the_provider_are_known(
    algorithm: str, sqlite_url: str
) -> None:
    async with identity_provider(algorithm) as provider, service_of(provider, sqlite_url) as it:
        await it.tell(created("Kari"))
        signed_in = await provider.sign_in(guid("Kari"))

        viewer = (await it.data(VIEWER, token=signed_in["access_token"]))["viewer"]
        operator = await access_level(it, await provider.operator_token())

        assert viewer["member"] == {"givenName": "Kari"}
        assert viewer["accessLevel"] == "MEMBER"
        assert viewer["credentialsExpireAt"] is not None
        assert operator == "ADMIN"
        # It says who signed in to the app; it opens no door.
        assert await access_level(it, signed_in["id_token"]) is None


async def test_member_is_known_by_the_claim_that_the_provider_adds(sqlite_url: str) -> None:
    portal_ids = {"kari@example.no": guid("Kari")}
    async with (
        identity_provider(portal_ids=portal_ids) as provider,
        service_of(provider, sqlite_url, auth_subject_claim="portal_id") as service,
    ):
        await service.tell(created("Kari"))
        known = (await provider.sign_in("kari@example.no"))["access_token"]
        without_the_claim = (await provider.sign_in(guid("Kari")))["access_token"]

        assert await access_level(service, known) == "MEMBER"
        assert await access_level(service, without_the_claim) is None


async def test_keys_are_found_without_discovery_where_they_are_configured(sqlite_url: str) -> None:
    async with identity_provider() as provider:
        keys = f"{provider.url}/jwks"
        async with service_of(provider, sqlite_url, auth_jwks_url=keys) as service:
            assert await access_level(service, await provider.operator_token()) == "ADMIN"


async def test_rotation_of_the_providers_key_is_not_noticed(sqlite_url: str) -> None:
    async with identity_provider() as provider, service_of(provider, sqlite_url) as service:
        old = await provider.operator_token()
        assert await access_level(service, old) == "ADMIN"

        await provider.stop()
        provider.keys.insert(0, new_key("ES256"))
        await provider.start()
        new = await provider.operator_token()
        levels = await asyncio.gather(*(access_level(service, token) for token in [new, old] * 5))

        assert jwt.get_unverified_header(new)["kid"] != jwt.get_unverified_header(old)["kid"]
        assert levels == ["ADMIN"] * 10


async def test_key_that_the_provider_withdraws_is_good_no_longer(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_module, "REFRESH_SECONDS", 0.1)
    async with identity_provider() as provider, service_of(provider, sqlite_url) as service:
        old = await provider.operator_token()
        assert await access_level(service, old) == "ADMIN"

        await provider.stop()
        provider.keys[:] = [new_key("ES256")]
        await provider.start()

        async with asyncio.timeout(DEADLINE):
            while await access_level(service, old) is not None:
                pass
        assert await access_level(service, await provider.operator_token()) == "ADMIN"


async def test_known_keys_go_on_working_while_the_provider_is_away(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_module, "REFRESH_SECONDS", 0.01)
    monkeypatch.setattr(provider_module, "RETRY_SECONDS", 0.01)
    async with identity_provider() as provider, service_of(provider, sqlite_url) as service:
        used, unused = [await provider.operator_token() for _ in range(2)]
        assert await access_level(service, used) == "ADMIN"

        await provider.stop()
        unknown = forged(provider, new_key("ES256"))

        # Meanwhile the service has asked in vain.
        assert await access_level(service, unknown) is None
        assert await access_level(service, used) == "ADMIN"
        assert await access_level(service, unused) == "ADMIN"


async def test_service_that_starts_before_the_provider_serves_it_once_it_is_there(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_module, "RETRY_SECONDS", 0.05)
    async with identity_provider() as provider:
        token = await provider.operator_token()
        await provider.stop()
        async with service_of(provider, sqlite_url) as service:
            await service.tell(created("Kari"))
            refused = await service.http.post(
                f"{service.url}/graphql",
                json={"query": VIEWER},
                headers={"Authorization": f"Bearer {token}"},
            )

            # The token may be good, so the client is not told to throw it away.
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) > 0
            (error,) = refused.json()["errors"]
            assert error["extensions"]["code"] == "UNAUTHENTICATED"
            text = "Tokens cannot be verified at the moment. Try again later."
            assert error["message"] == text

            await provider.start()
            async with asyncio.timeout(DEADLINE):
                while await access_level(service, token) != "ADMIN":
                    pass


def forged(
    provider: Provider, key: dict[str, Any], header: dict[str, Any] | None = None, **claims: Any
) -> str:
    """A token as the provider makes them, but for what is given; None leaves a claim out."""
    given = {
        "iss": provider.url,
        "aud": AUDIENCE,
        "sub": "job",
        "scope": "sync:operate",
        "iat": int(time.time()),
        "exp": int(time.time()) + 3600,
        **claims,
    }
    return jwt.encode(
        {name: value for name, value in given.items() if value is not None},
        jwt.PyJWK(key).key,
        key["alg"],
        {"kid": key["kid"], "typ": "at+jwt", **(header or {})},
    )


def with_secret(claims: dict[str, Any], header: dict[str, Any], secret: bytes) -> str:
    """HS256, by hand: libraries refuse to take a public key for a secret."""
    parts = [{"alg": "HS256", "typ": "JWT", **header}, claims]
    signed = b".".join(base64url_encode(json.dumps(part).encode()) for part in parts)
    signature = base64url_encode(hmac.digest(secret, signed, "sha256"))
    return f"{signed.decode()}.{signature.decode()}"


async def test_tokens_that_the_provider_did_not_make_for_us_are_refused(sqlite_url: str) -> None:
    async with identity_provider("RS256") as provider, service_of(provider, sqlite_url) as service:
        (key,) = provider.keys
        foreign = new_key("RS256")
        private = jwt.PyJWK(key).key
        public = private.public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        now = int(time.time())
        genuine = await provider.operator_token()
        claims = jwt.decode(genuine, options={"verify_signature": False})
        kid = {"kid": key["kid"]}
        refused = {
            "another key under the same id": forged(provider, {**foreign, "kid": key["kid"]}),
            "a key that is not known": forged(provider, foreign),
            "the key under another id": forged(provider, key, {"kid": "another"}),
            "another issuer": forged(provider, key, iss="https://evil.example"),
            "no issuer": forged(provider, key, iss=None),
            "another audience": forged(provider, key, aud="https://other.example"),
            "no audience": forged(provider, key, aud=None),
            "expired": forged(provider, key, exp=now - 1),
            "without an end": forged(provider, key, exp=None),
            "not valid yet": forged(provider, key, nbf=now + 600),
            "issued in the future": forged(provider, key, iat=now + 600),
            "without a subject": forged(provider, key, sub=None),
            "a token of another kind": forged(provider, key, {"typ": "logout+jwt"}),
            "a critical extension": forged(provider, key, {"crit": ["x"], "x": 1}),
            "signed with the public key as a secret": with_secret(claims, kid, pem),
            "signed with the development secret": jwt.encode(claims, DEVELOPMENT_AUTH_SECRET),
            "unsigned": jwt.encode(claims, "", "none", kid),
            "without a signature": genuine.rpartition(".")[0] + ".",
            "another algorithm of the same key": jwt.encode(claims, private, "RS512", kid),
            "oversized": forged(provider, key, more="x" * 8192),
        }

        assert await access_level(service, genuine) == "ADMIN"
        assert await access_level(service, forged(provider, key)) == "ADMIN"
        for case, token in refused.items():
            response = await service.http.post(
                f"{service.url}/graphql",
                json={"query": VIEWER},
                headers={"Authorization": f"Bearer {token}"},
            )

            assert response.status_code == 401, case
            assert codes(response.json()) == ["UNAUTHENTICATED"], case
            assert "www-authenticate" in response.headers
