"""Key sets: which keys are used, how often they are asked for, and what a bad answer changes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from jwt.algorithms import RSAAlgorithm

from app.auth import provider as provider_module
from app.auth.errors import InvalidTokenError, KeysUnavailableError
from app.auth.keys import SigningKeys
from app.auth.provider import MAX_DOCUMENT_BYTES, IdentityProvider
from tests.support.provider import new_key
from tests.support.service import DEADLINE

PRIVATE_PARTS = {"d", "p", "q", "dp", "dq", "qi"}


def public(key: dict[str, Any], **changed: Any) -> dict[str, Any]:
    kept = {name: value for name, value in key.items() if name not in PRIVATE_PARTS}
    return {name: value for name, value in {**kept, **changed}.items() if value is not None}


def key_set(*keys: object) -> bytes:
    return json.dumps({"keys": keys}).encode()


RSA, EC, ED = (new_key(algorithm) for algorithm in ("RS256", "ES256", "EdDSA"))


def test_key_is_found_by_id_and_algorithm() -> None:
    keys = SigningKeys.from_json(key_set(public(RSA), public(EC), public(ED)))

    for key in (RSA, EC, ED):
        found = keys.find({"kid": key["kid"], "alg": key["alg"]})

        assert found is not None
        assert found.algorithm_name == key["alg"]
    assert keys.find({"kid": RSA["kid"], "alg": "ES256"}) is None
    assert keys.find({"kid": RSA["kid"], "alg": "HS256"}) is None
    assert keys.find({"kid": [RSA["kid"]], "alg": "RS256"}) is None
    assert keys.find({"kid": RSA["kid"], "alg": ["RS256"]}) is None
    assert keys.find({"kid": RSA["kid"]}) is None


def test_token_without_a_key_id_means_the_only_key_of_its_algorithm() -> None:
    one = SigningKeys.from_json(key_set(public(EC, kid=None), public(RSA)))
    two = SigningKeys.from_json(key_set(public(EC), public(new_key("ES256"))))

    assert one.find({"alg": "ES256"}) is not None
    assert two.find({"alg": "ES256"}) is None


def test_algorithm_of_a_key_follows_from_its_type() -> None:
    for key, alg in ((RSA, None), (EC, None), (ED, None), (ED, "Ed25519")):
        keys = SigningKeys.from_json(key_set(public(key, alg=alg)))

        assert keys.find({"kid": key["kid"], "alg": key["alg"]}) is not None


def weak_rsa() -> dict[str, Any]:
    weak = generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 -- refused
    jwk: dict[str, Any] = RSAAlgorithm.to_jwk(weak.public_key(), as_dict=True)
    return {**jwk, "kid": "weak"}


UNUSABLE = {
    "a shared secret": {"kty": "oct", "k": "c2VjcmV0", "kid": "x"},
    "for encryption": public(RSA, use="enc"),
    "not for verification": public(RSA, key_ops=["sign"]),
    "of another algorithm": public(RSA, alg="PS256"),
    "of another curve": public(EC, crv="P-384"),
    "with its private part": EC,
    "weak": weak_rsa(),
    "broken": public(EC, x="AAAA"),
    "incomplete": public(RSA, n=None),
    "with an id that is no text": public(RSA, kid=7),
    "of no type": public(RSA, kty=None),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_unusable_key_is_left_out(case: str) -> None:
    alone = SigningKeys.from_json(key_set(UNUSABLE[case]))
    beside = SigningKeys.from_json(key_set(UNUSABLE[case], public(ED)))

    assert len(alone.keys) == 0
    assert len(beside.keys) == 1


@pytest.mark.parametrize("document", [b"", b"{", b"[]", b"{}", b'{"keys": 7}', b'{"keys": [7]}'])
def test_what_is_no_key_set_is_refused(document: bytes) -> None:
    with pytest.raises(ValueError, match="not a JSON Web Key Set"):
        SigningKeys.from_json(document)


@dataclass
class KeyServer:
    """Answers what a test tells it to, and counts the requests."""

    document: bytes
    status: str = "200 OK"
    asked: int = 0
    url: str = ""
    more: bytes = field(default=b"")

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        head = f"HTTP/1.1 {self.status}\r\nContent-Length: {len(self.document)}\r\n"
        writer.write(head.encode() + self.more + b"Connection: close\r\n\r\n" + self.document)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def serving(*keys: dict[str, Any]) -> AsyncIterator[KeyServer]:
    told = KeyServer(key_set(*keys))
    async with await asyncio.start_server(told.answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        told.url = f"http://{host}:{port}"
        yield told


@asynccontextmanager
async def provider_at(server: KeyServer) -> AsyncIterator[IdentityProvider]:
    """Yields the provider once it has fetched its keys."""
    async with IdentityProvider(server.url, server.url) as provider:
        async with asyncio.timeout(DEADLINE):
            while provider.generation == 0:  # noqa: ASYNC110 -- it tells nobody
                await asyncio.sleep(0)
        yield provider


def header_of(key: dict[str, Any]) -> dict[str, str]:
    return {"kid": key["kid"], "alg": key["alg"]}


async def test_keys_that_are_not_known_make_the_provider_be_asked_once_and_not_again() -> None:
    async with serving(public(EC)) as server, provider_at(server) as provider:
        before = server.asked

        for _ in range(3):
            asking = [provider.fetched({"kid": f"k{n}", "alg": "ES256"}) for n in range(50)]
            answers = await asyncio.gather(*asking, return_exceptions=True)

            assert {type(answer) for answer in answers} == {InvalidTokenError}
            assert {str(answer) for answer in answers} == {
                "The token is signed with an unknown key."
            }
        assert server.asked == before + 1


async def test_caller_that_goes_away_does_not_take_the_answer_from_the_others() -> None:
    async with serving(public(EC)) as server, provider_at(server) as provider:
        server.document = key_set(public(EC), public(ED))
        first, second = (asyncio.create_task(provider.fetched(header_of(ED))) for _ in range(2))
        await asyncio.sleep(0)

        first.cancel()

        assert isinstance(await second, jwt.PyJWK)


BAD_ANSWERS: dict[str, dict[str, Any]] = {
    "an error": {"status": "500 Internal Server Error"},
    "not JSON": {"document": b"<html>"},
    "nested without end": {"document": b"[" * 100_000},
    "too large": {"document": key_set(public(ED)) + b" " * MAX_DOCUMENT_BYTES},
    "somewhere else": {"status": "302 Found", "more": b"Location: http://127.0.0.1:1/\r\n"},
    "somewhere that is no address": {"status": "302 Found", "more": b"Location: http://[\r\n"},
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
async def test_bad_answer_changes_no_keys(case: str) -> None:
    async with serving(public(EC)) as server, provider_at(server) as provider:
        for name, value in BAD_ANSWERS[case].items():
            setattr(server, name, value)

        with pytest.raises(InvalidTokenError):
            await provider.fetched(header_of(ED))

        assert provider.known(header_of(EC)) is not None
        assert provider.generation == 1


@pytest.mark.parametrize(
    "document",
    [key_set(), key_set(UNUSABLE["weak"]), key_set(public(EC, use="enc"))],
    ids=["empty", "weak", "for encryption"],
)
async def test_set_without_usable_keys_withdraws_all_of_them(
    document: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(public(EC)) as server, provider_at(server) as provider:
        server.document = document

        with pytest.raises(InvalidTokenError, match="unknown key"):
            await provider.fetched(header_of(ED))

        assert provider.known(header_of(EC)) is None
        assert provider.generation == 2
        assert "publishes no usable key" in caplog.text


async def test_keys_are_dropped_when_the_provider_has_been_away_for_too_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(provider_module, "REFRESH_SECONDS", 0.01)
    monkeypatch.setattr(provider_module, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(provider_module, "MAX_AGE_SECONDS", 0.5)
    async with serving(public(EC)) as server, provider_at(server) as provider:
        # As long as it answers, nothing ages.
        async with asyncio.timeout(DEADLINE):
            while server.asked < 20:  # noqa: ASYNC110 -- it tells nobody
                await asyncio.sleep(0.05)
        assert provider.known(header_of(EC)) is not None
        assert provider.generation == 1

        server.status = "500 Internal Server Error"
        async with asyncio.timeout(DEADLINE):
            while provider.known(header_of(EC)) is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

        assert provider.generation == 2
        assert "no token is accepted" in caplog.text
        with pytest.raises(KeysUnavailableError):
            await provider.fetched(header_of(EC))

        server.status = "200 OK"
        async with asyncio.timeout(DEADLINE):
            while provider.known(header_of(EC)) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "document",
    [
        b"{}",
        b"[",
        b'{"issuer": "https://evil.example", "jwks_uri": "https://evil.example/jwks"}',
    ],
)
async def test_discovery_by_anybody_but_the_issuer_is_not_believed(document: bytes) -> None:
    async with serving() as server:
        server.document = document
        async with IdentityProvider(server.url) as provider:
            async with asyncio.timeout(DEADLINE):
                while server.asked == 0:  # noqa: ASYNC110 -- it tells nobody
                    await asyncio.sleep(0)

            assert provider.known(header_of(EC)) is None
            assert provider.generation == 0
