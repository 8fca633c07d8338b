"""Whatever is sent for a token: nobody gets in, nothing breaks, and the database is not asked."""

import asyncio
import base64
import hmac
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import strategies as st

from app.server import running
from app.settings import DEVELOPMENT_AUTH_SECRET, Settings
from tests.app.auth.test_keys import header_of, public, serving
from tests.faults.hostile import ODD_HEADERS, json_texts
from tests.faults.made_up import act_on
from tests.faults.wire import Answer, Attack, Headers, exchange, json_headers, request
from tests.support.provider import AUDIENCE, new_key
from tests.support.statements import of_requests, recorded

TOGETHER = 25
BODY = json.dumps({"query": "{ roles { id } }"}).encode()
KEY, FOREIGN = new_key("ES256"), new_key("ES256")
PEM = jwt.PyJWK(KEY).key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

odd_values: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=30),
    st.lists(st.text(max_size=5), max_size=3),
    st.sampled_from(["none", "None", "HS256", "RS256", "ES256", "EdDSA", "", KEY["kid"], "\0"]),
    st.sampled_from(["sync:operate", AUDIENCE, "http://127.0.0.1:1", 2**70, 1e300, -1]),
    st.sampled_from([10**18, 2**63 - 1, -(10**18)]),
)
HEADER = ["alg", "typ", "kid", "crit", "b64", "jku", "x5u", "x5c", "jwk", "cty", "zip"]
headers_of_tokens = st.fixed_dictionaries({}, optional=dict.fromkeys(HEADER, odd_values))
CLAIMS = ["sub", "iss", "aud", "exp", "nbf", "iat", "jti", "scope"]
claims_of_tokens = st.fixed_dictionaries({}, optional=dict.fromkeys(CLAIMS, odd_values))


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


@st.composite
def tokens(draw: st.DrawFn) -> str:
    """Of the right form, and signed by anybody but those who may sign."""
    known = draw(st.sampled_from([{"alg": "HS256"}, header_of(KEY), {"alg": "none"}]))
    header = json.dumps({**known, **draw(headers_of_tokens)}).encode()
    good = {"sub": "x", "scope": "sync:operate", "exp": 2**33, "aud": AUDIENCE}
    claims = json.dumps({**good, **draw(claims_of_tokens)}).encode()
    if draw(st.integers(0, 9)) == 0:
        header = draw(json_texts).encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 9)) == 0:
        claims = draw(json_texts).encode("utf-8", "surrogatepass")
    signed = f"{encoded(header)}.{encoded(claims)}"
    secret = draw(st.sampled_from([b"", b"secret", PEM, DEVELOPMENT_AUTH_SECRET[:-1].encode()]))
    algorithm = jwt.get_algorithm_by_name("ES256")
    signature = draw(
        st.one_of(
            st.just(b""),
            st.binary(max_size=80),
            st.just(hmac.digest(secret, signed.encode(), "sha256")),
            st.just(algorithm.sign(signed.encode(), jwt.PyJWK(FOREIGN).key)),
        )
    )
    return f"{signed}.{encoded(signature)}{draw(st.sampled_from(['', '', '', '.', '=', ' x']))}"


authorizations = st.one_of(
    tokens().map(lambda token: f"Bearer {token}".encode()),
    tokens().map(lambda token: f"bearer\t{token}".encode()),
    tokens().map(str.encode),
    st.sampled_from(ODD_HEADERS),
    st.sampled_from([b"Bearer " + odd for odd in ODD_HEADERS] + [b"Bearer " + b"A." * 5000]),
    st.binary(max_size=60).map(lambda raw: b"Bearer " + raw.translate(None, b"\r\n\0")),
)
OTHERS = [
    b"authorization", b"cookie", b"origin", b"sec-fetch-site", b"x-forwarded-for",
    b"x-forwarded-proto", b"accept", b"x-request-id", b"proxy-authorization",
]  # fmt: skip
others = st.lists(
    st.tuples(
        st.sampled_from(OTHERS),
        st.one_of(authorizations, st.sampled_from(ODD_HEADERS)),
    ),
    max_size=3,
)


@st.composite
def attacks(draw: st.DrawFn) -> Attack:
    headers: Headers = [
        (b"authorization", draw(authorizations)),
        *draw(others),
        *json_headers(BODY),
    ]
    return Attack(request(headers, BODY, b"/graphql"))


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(params=["secret", "identity provider"])
def port(request: pytest.FixtureRequest, sqlite_url: str, runner: asyncio.Runner) -> Iterator[int]:
    """Of a service in this process, whose statements can be counted."""
    stack = AsyncExitStack()

    async def start() -> int:
        given: dict[str, Any] = {}
        if request.param == "identity provider":
            server = await stack.enter_async_context(serving(public(KEY)))
            given = {
                "auth_issuer": "https://id.example",
                "auth_jwks_url": server.url,
                "auth_audience": AUDIENCE,
            }
        settings = Settings(
            _env_file=None,  # type: ignore[call-arg]  # pydantic-settings takes it at run time
            database_url=sqlite_url,
            port=0,
            log_level="warning",
            **given,
        )
        url = await stack.enter_async_context(running(settings))
        return urlsplit(url).port or 0

    yield runner.run(start())
    runner.run(stack.aclose())


async def assault(port: int, wave: Sequence[Attack]) -> list[Answer | None]:
    return await asyncio.gather(*(exchange(port, attack) for attack in wave))


def verdict(answer: Answer | None) -> str:
    if answer is None:
        return "closed"
    if answer.status == 200:
        (error,) = answer.json()["errors"]
        return str(error["extensions"]["code"])
    return str(answer.status)


def test_no_token_that_is_not_good_lets_anybody_in_or_costs_a_statement(
    port: int, runner: asyncio.Runner, cases: int, long: bool, caplog: pytest.LogCaptureFixture
) -> None:
    verdicts: Counter[str] = Counter()

    def attack(wave: list[Attack]) -> None:
        with recorded() as statements:
            answers = runner.run(assault(port, wave))
        for sent, answer in zip(wave, answers, strict=True):
            said = verdict(answer)
            # 400: not even HTTP.
            assert said in ("401", "403", "UNAUTHENTICATED", "400"), (sent, answer)
            assert answer is not None
            assert b'"roles":[' not in answer.body
            verdicts[said] += 1
        assert of_requests(statements) == []

    waves = st.lists(attacks(), min_size=TOGETHER, max_size=TOGETHER)
    act_on(waves, attack, cases // TOGETHER, anew=long)

    print(f"{verdicts.total()} cases: {dict(verdicts.most_common())}")  # noqa: T201
    assert verdicts["401"] > verdicts.total() / 2
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
