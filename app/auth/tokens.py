"""Bearer tokens: who is asking, never what they may do.

They are either of an identity provider, signed with one of its keys, or (for development) of this
service itself, signed with its secret. One of the two is configured, so neither passes for the
other.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Protocol

import jwt

from app.auth.errors import InvalidTokenError
from app.auth.keys import ALGORITHMS
from app.auth.provider import IdentityProvider
from app.settings import Settings, SettingsError
from db.vocabulary import canonical_portal_id
from schema.context import Credentials

OWN_ALGORITHM = "HS256"
OPERATOR_SCOPE = "sync:operate"
MAX_TOKEN_CHARACTERS = 8192
CLOCK_SKEW_SECONDS = 60
"""A token may seem to be from the future by as much; it never outlives its end."""
REMEMBERED_TOKENS = 10_000

# An access token says so, or says nothing of its type. Others of the same issuer (of a logout, of
# an event) must not be taken for one.
_TYPES = (None, "JWT", "at+jwt", "application/at+jwt")
_REASONS: dict[type[Exception], str] = {
    jwt.ExpiredSignatureError: "The token has expired.",
    jwt.ImmatureSignatureError: "The token is not valid yet.",
    jwt.InvalidIssuerError: "The token is of another issuer.",
    jwt.InvalidAudienceError: "The token is for another audience.",
}


class Keys(Protocol):
    """Where the keys of tokens come from."""

    generation: int

    def known(self, header: Mapping[str, Any]) -> Any:
        """None when it is not known, or not yet."""

    async def asked(self, header: Mapping[str, Any]) -> Any:
        """Raises InvalidTokenError or KeysUnavailableError."""


class SharedSecret:
    """The one key of tokens that were made by this service itself."""

    generation = 0

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def known(self, _header: Mapping[str, Any]) -> str:
        return self._secret

    async def asked(self, _header: Mapping[str, Any]) -> str:
        return self._secret


class Authenticator:
    def __init__(
        self,
        keys: Keys,
        algorithms: Sequence[str],
        *,
        subject_claim: str,
        issuer: str | None = None,
        audience: str | None = None,
    ) -> None:
        self._keys = keys
        self._algorithms = algorithms
        self._subject_claim = subject_claim
        self._issuer = issuer
        self._audience = audience
        # By digests, so that no token can be read from the memory; with the end in seconds.
        self._remembered: dict[bytes, tuple[Credentials, float]] = {}
        self._remembered_of = keys.generation

    async def credentials(self, authorization: str | None) -> Credentials | None:
        """None when nothing was sent. Raises InvalidTokenError or KeysUnavailableError."""
        if authorization is None:
            return None
        scheme, _, token = authorization.strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise InvalidTokenError("Send `Authorization: Bearer <token>`.")
        return await self._verified(token)

    async def connection_credentials(self, params: Mapping[str, Any] | None) -> Credentials | None:
        """From the payload of `connection_init`, where the name may be written in any case."""
        for name, value in (params or {}).items():
            if name.lower() == "authorization":
                if not isinstance(value, str):
                    raise InvalidTokenError("`authorization` must be text.")
                return await self.credentials(value)
        return None

    async def _verified(self, token: str) -> Credentials:
        """A token that was good is good until it ends, or the keys are no longer the same."""
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise InvalidTokenError("The token is too long.")
        if self._remembered_of != self._keys.generation:
            self._remembered.clear()
            self._remembered_of = self._keys.generation
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._remembered.get(digest)
        if known is None:
            generation = self._keys.generation
            credentials = self._read(token, await self._key(token))
            if generation == self._keys.generation:
                self._remember(digest, credentials)
            return credentials
        credentials, ends_at = known
        if ends_at <= time.time():
            del self._remembered[digest]
            raise InvalidTokenError(_REASONS[jwt.ExpiredSignatureError])
        return credentials

    def _remember(self, digest: bytes, credentials: Credentials) -> None:
        if len(self._remembered) >= REMEMBERED_TOKENS:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[digest] = credentials, credentials.expires_at.timestamp()

    async def _key(self, token: str) -> Any:
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.InvalidTokenError, ValueError) as error:
            raise InvalidTokenError("The token is not valid.") from error
        if header.get("alg") not in self._algorithms or header.get("typ") not in _TYPES:
            raise InvalidTokenError("The token is not valid.")
        key = self._keys.known(header)
        if key is None:
            # Nobody is asked for the key of a token that would be refused with it as well.
            self._read(token, key="", verify_signature=False)
            key = await self._keys.asked(header)
        return key

    def _read(self, token: str, key: Any, *, verify_signature: bool = True) -> Credentials:
        required = ["exp", self._subject_claim]
        required += ["iss"] if self._issuer else []
        required += ["aud"] if self._audience else []
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=list(self._algorithms),
                issuer=self._issuer,
                audience=self._audience,
                leeway=CLOCK_SKEW_SECONDS,
                options={
                    "require": required,
                    "verify_signature": verify_signature,
                    "verify_exp": True,
                    "verify_nbf": True,
                    "verify_iat": True,
                    "verify_iss": self._issuer is not None,
                    "verify_aud": self._audience is not None,
                    "verify_sub": False,
                },
            )
            expires_at = datetime.fromtimestamp(int(claims["exp"]), UTC)
        except jwt.InvalidTokenError as error:
            reason = _REASONS.get(type(error), "The token is not valid.")
            raise InvalidTokenError(reason) from error
        except (ValueError, OverflowError, TypeError) as error:
            raise InvalidTokenError("The token is not valid.") from error
        if expires_at.timestamp() <= time.time():
            raise InvalidTokenError(_REASONS[jwt.ExpiredSignatureError])
        return self._credentials(claims, expires_at)

    def _credentials(self, claims: Mapping[str, Any], expires_at: datetime) -> Credentials:
        subject = claims[self._subject_claim]
        if not isinstance(subject, str) or not subject.isprintable():
            raise InvalidTokenError("The token's subject is not text.")
        scope = claims.get("scope", "")
        operator = isinstance(scope, str) and OPERATOR_SCOPE in scope.split()
        return Credentials(canonical_portal_id(subject), operator, expires_at)


def identity_provider(settings: Settings) -> IdentityProvider | None:
    """None when tokens are signed with the service's own secret."""
    if settings.auth_issuer is None:
        return None
    return IdentityProvider(settings.auth_issuer, settings.auth_jwks_url)


def authenticator_of(settings: Settings, provider: IdentityProvider | None) -> Authenticator:
    claim = settings.auth_subject_claim
    if provider is None:
        secret = SharedSecret(settings.auth_secret.get_secret_value())
        return Authenticator(secret, [OWN_ALGORITHM], subject_claim=claim)
    return Authenticator(
        provider,
        ALGORITHMS,
        subject_claim=claim,
        issuer=settings.auth_issuer,
        audience=settings.auth_audience,
    )


def mint(settings: Settings, subject: str, *, operator: bool, lifetime: timedelta) -> str:
    """A token signed with the service's own secret. Raises SettingsError where that is not used."""
    if settings.auth_issuer is not None:
        raise SettingsError(f"Tokens come from {settings.auth_issuer}; none can be made here.")
    now = datetime.now(UTC)
    claims = {settings.auth_subject_claim: subject, "iat": now, "exp": now + lifetime}
    if operator:
        claims["scope"] = OPERATOR_SCOPE
    return jwt.encode(claims, settings.auth_secret.get_secret_value(), OWN_ALGORITHM)
