"""The authenticator alone: what each refused token is told, and what is remembered of good ones."""

import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import jwt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jwt.utils import base64url_encode

from app.auth import operators, tokens
from app.auth.errors import InvalidTokenError, KeysUnavailableError, TokenFault
from app.auth.operators import FindMember
from app.auth.own_tokens import SharedSecret
from app.auth.tokens import CLOCK_SKEW_SECONDS, Authenticator
from db.vocabulary import PortalId

SECRET = "a secret of these tests with 32 bytes"
ISSUER = "https://id.example"
AUDIENCE = "likeperson"


class CountedSecret(SharedSecret):
    """Counts how often a key was needed."""

    asked = 0

    def known(self, header: Mapping[str, Any]) -> str:
        self.asked += 1
        return super().known(header)


def authenticator(
    keys: SharedSecret | None = None,
    *,
    find_member: FindMember | None = None,
    operator_claim: tuple[str, str] | None = None,
) -> Authenticator:
    return Authenticator(
        keys or SharedSecret(SECRET),
        ["HS256"],
        subject_claim="sub",
        find_member=find_member or nobody,
        operator_claim=operator_claim,
        issuer=ISSUER,
        audience=AUDIENCE,
    )


async def nobody(_subject: PortalId) -> None:
    """Finds no member, as in a database without any."""


def token(secret: str = SECRET, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A good token, but for what is given; None leaves a claim out."""
    now = int(time.time())
    given = {"sub": "kari", "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 60, **claims}
    stated = {name: value for name, value in given.items() if value is not None}
    return "Bearer " + jwt.encode(stated, secret, "HS256", header)


INVALID = "The token is not valid."
REFUSED: dict[str, tuple[Callable[[], str], str]] = {
    "another scheme": (lambda: "Basic a:b", "Send `Authorization: Bearer <token>`."),
    "no token": (lambda: "Bearer ", "Send `Authorization: Bearer <token>`."),
    "too long": (lambda: "Bearer " + "x" * 8193, "The token has more than 8192 characters."),
    "as long as it may be": (lambda: "Bearer " + "x" * 8192, INVALID),
    "another type": (lambda: token(header={"typ": "logout+jwt"}), INVALID),
    "another secret": (lambda: token("another secret, of as many bytes or more"), INVALID),
    "no issuer": (lambda: token(iss=None), INVALID),
    "no audience": (lambda: token(aud=None), INVALID),
    "no expiry": (lambda: token(exp=None), INVALID),
    "no subject": (lambda: token(sub=None), INVALID),
    "expired": (lambda: token(exp=0), "The token has expired."),
    "for later": (lambda: token(nbf=time.time() + 1000), "The token is not valid yet."),
    "issued later": (lambda: token(iat=time.time() + 1000), "The token is not valid yet."),
    "another issuer": (
        lambda: token(iss="https://evil.example"),
        "The token was issued by another issuer.",
    ),
    "another audience": (
        lambda: token(aud="another"),
        "The token was issued for another audience.",
    ),
    "subject of control characters": (
        lambda: token(sub="\0"),
        "The subject of the token must be printable text.",
    ),
    "subject that is a number": (
        lambda: token(sub=7),
        "The subject of the token must be printable text.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_refused_token_is_told_what_is_wrong_with_it(case: str) -> None:
    made, text = REFUSED[case]

    with pytest.raises(InvalidTokenError) as refused:
        await authenticator().credentials(made())

    assert str(refused.value) == text


async def test_credentials_of_a_socket_must_be_text() -> None:
    with pytest.raises(InvalidTokenError, match=r"^`authorization` must be text\.$"):
        await authenticator().connection_credentials({"Authorization": 7}, None)


def test_every_fault_and_the_outage_have_a_text_that_a_test_holds() -> None:
    told_elsewhere = {
        "`authorization` must be text.",
        "The token is signed with an unknown key.",
        "The token gives a member the rights of an operator (`sync:operate`).",
    }

    assert {fault.value for fault in TokenFault} == told_elsewhere.union(
        text for _, text in REFUSED.values()
    )
    assert str(KeysUnavailableError()) == (
        "Tokens cannot be verified at the moment. Try again later."
    )


# Where converting a number to a time fails, and each in its own way.
BEYOND = (10**11, 10**12, 10**15, 10**18, 2**63 - 1, 2**63, 10**30, 1e18, 1e300, -(10**18), -1)
odd_values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=True, allow_infinity=True),
        st.text(max_size=20),
        st.sampled_from([*BEYOND, *map(str, BEYOND), "sync:operate", ISSUER, AUDIENCE]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)
CLAIMS = ["sub", "iss", "aud", "exp", "nbf", "iat", "jti", "scope"]


class NoKeys(SharedSecret):
    """Keys of a provider that does not know the key of any token."""

    def known(self, _header: Mapping[str, Any]) -> None:  # type: ignore[override]  # the protocol's
        return None

    async def fetched(self, _header: Mapping[str, Any]) -> str:
        raise InvalidTokenError(TokenFault.UNKNOWN_KEY)


@settings(deadline=None)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(CLAIMS, odd_values)), st.booleans())
@example({"exp": 10**18}, False)
@example({"exp": 10**18}, True)
@example({"exp": float("inf")}, True)
async def test_whatever_a_token_claims_it_is_refused_or_good_and_nothing_breaks(
    claims: dict[str, Any], key_is_known: bool
) -> None:
    verifier = authenticator(SharedSecret(SECRET) if key_is_known else NoKeys(SECRET))
    given = {"sub": "x", "iss": ISSUER, "aud": AUDIENCE, "exp": 2**33, **claims}
    # By hand, since PyJWT refuses to make most of these.
    parts = [{"alg": "HS256"}, given]
    signed = b".".join(base64url_encode(json.dumps(part).encode()) for part in parts)
    signature = base64url_encode(hmac.digest(SECRET.encode(), signed, "sha256"))

    try:
        found = await verifier.credentials(f"Bearer {signed.decode()}.{signature.decode()}")
    except InvalidTokenError:
        return

    assert key_is_known
    assert found is not None
    assert found.expires_at.timestamp() > time.time()


@settings(deadline=None)
@given(st.binary(max_size=60), st.sampled_from(["", "{", "[", '{"a":']), st.integers(0, 1500))
@example(b"", "[", 1500)
async def test_bytes_that_are_no_token_are_refused(raw: bytes, opening: str, depth: int) -> None:
    nested = base64url_encode((opening * depth).encode() + raw).decode()
    for text in (raw.decode("latin-1"), nested, f"{nested}.{nested}.", f"a.{nested}.b"):
        with pytest.raises(InvalidTokenError):
            await authenticator().credentials(f"Bearer {text}")


async def test_times_in_the_future_are_accepted_up_to_the_skew_of_clocks() -> None:
    soon = int(time.time()) + CLOCK_SKEW_SECONDS - 5

    found = await authenticator().credentials(token(nbf=soon, iat=soon))

    assert found is not None
    assert found.subject == "kari"


async def test_token_that_has_just_expired_is_refused_in_spite_of_that_skew() -> None:
    with pytest.raises(InvalidTokenError, match="expired"):
        await authenticator().credentials(token(exp=int(time.time()) - 1))


async def test_verified_token_is_remembered_until_it_expires(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = CountedSecret(SECRET)
    verifier, good = authenticator(keys), token()
    first, second = [await verifier.credentials(good) for _ in range(2)]

    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)

    assert first == second is not None
    assert keys.asked == 1
    with pytest.raises(InvalidTokenError, match="expired"):
        await verifier.credentials(good)


async def test_remembered_tokens_are_forgotten_when_the_keys_change() -> None:
    keys = CountedSecret(SECRET)
    verifier, good = authenticator(keys), token()
    await verifier.credentials(good)

    keys.generation += 1
    await verifier.credentials(good)

    assert keys.asked == 2


async def test_no_more_than_so_many_tokens_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "REMEMBERED_TOKENS", 2)
    keys = CountedSecret(SECRET)
    verifier = authenticator(keys)
    oldest, *later = [token(sub=name) for name in ("a", "b", "c")]
    for each in (oldest, *later):
        await verifier.credentials(each)

    for each in later:
        await verifier.credentials(each)
    assert keys.asked == 3

    await verifier.credentials(oldest)
    assert keys.asked == 4


OPERATE: dict[str, Any] = {"scope": "openid sync:operate"}


class Members:
    """Knows who is a member, and counts the questions."""

    def __init__(self, *subjects: str) -> None:
        self.subjects = set(subjects)
        self.asked: list[str] = []

    async def find(self, subject: PortalId) -> str | None:
        self.asked.append(subject)
        return subject if subject in self.subjects else None


async def test_operators_token_of_a_member_is_refused_every_time() -> None:
    verifier = authenticator(find_member=Members("kari").find)

    for _ in range(2):
        with pytest.raises(InvalidTokenError) as refused:
            await verifier.credentials(token(**OPERATE))

        assert str(refused.value) == (
            "The token gives a member the rights of an operator (`sync:operate`)."
        )


async def test_members_are_looked_for_once_a_minute_and_for_operators_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    members = Members()
    verifier = authenticator(find_member=members.find)
    now = time.monotonic()
    monkeypatch.setattr(operators, "monotonic", lambda: now)

    await verifier.credentials(token())
    for _ in range(3):
        await verifier.credentials(token(**OPERATE))
    assert members.asked == ["kari"]

    members.subjects.add("kari")
    now += 61
    with pytest.raises(InvalidTokenError, match="rights of an operator"):
        await verifier.credentials(token(**OPERATE))


async def test_no_more_than_so_many_operators_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(operators, "REMEMBERED_SUBJECTS", 1)
    members = Members()
    verifier = authenticator(find_member=members.find)

    for subject in ("a", "b", "b", "a"):
        await verifier.credentials(token(sub=subject, **OPERATE))

    assert members.asked == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("stated", "operator"),
    [
        ("Sync.Operate", True),
        (["x", "Sync.Operate"], True),
        ("Sync.Operates", False),
        (["x"], False),
        (None, False),
        (7, False),
        ({"Sync.Operate": 1}, False),
    ],
)
async def test_operator_needs_the_claim_that_is_configured(stated: object, operator: bool) -> None:
    verifier = authenticator(operator_claim=("roles", "Sync.Operate"))

    found = await verifier.credentials(token(**OPERATE, roles=stated))
    without_scope = await verifier.credentials(token(roles=stated))

    assert found is not None
    assert found.operator is operator
    assert without_scope is not None
    assert without_scope.operator is False
