"""Verifies bearer tokens: says who is asking, never what they may do.

Tokens are issued either by an identity provider, or (for development) by this service itself. One
of the two is configured, so neither passes for the other.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Protocol

import jwt

from app.auth.errors import MAX_TOKEN_CHARACTERS, InvalidTokenError, TokenFault
from app.auth.keys import ALGORITHMS
from app.auth.operators import FindMember, OperatorCheck, claims_operator_rights
from app.auth.own_tokens import OWN_ALGORITHM, SharedSecret
from app.auth.provider import IdentityProvider
from app.settings import Settings
from db.vocabulary import canonical_portal_id
from schema.context import Credentials

CLOCK_SKEW_SECONDS = 60
"""How far in the future `nbf` and `iat` may be. `exp` is never extended."""
REMEMBERED_TOKENS = 10_000

# Access tokens have one of these types. Other tokens of the same issuer (logout tokens, security
# events) must not be accepted in their place.
_TYPES = (None, "JWT", "at+jwt", "application/at+jwt")
_FAULTS: dict[type[Exception], TokenFault] = {
    jwt.ExpiredSignatureError: TokenFault.EXPIRED,
    jwt.ImmatureSignatureError: TokenFault.NOT_VALID_YET,
    jwt.InvalidIssuerError: TokenFault.WRONG_ISSUER,
    jwt.InvalidAudienceError: TokenFault.WRONG_AUDIENCE,
}


class Keys(Protocol):
    """The keys that verify tokens. `generation` grows whenever they change."""

    generation: int

    def known(self, header: Mapping[str, Any]) -> Any:
        """Returns the key for a token with this header, or None if it is not known yet."""

    async def fetched(self, header: Mapping[str, Any]) -> Any:
        """Returns the key after looking for new ones.

        Raises InvalidTokenError or KeysUnavailableError.
        """


class Authenticator:
    """Turns `Authorization` headers and `connection_init` payloads into credentials."""

    def __init__(
        self,
        keys: Keys,
        algorithms: Sequence[str],
        *,
        subject_claim: str,
        find_member: FindMember,
        operator_claim: tuple[str, str] | None = None,
        issuer: str | None = None,
        audience: str | None = None,
    ) -> None:
        self._keys = keys
        self._algorithms = algorithms
        self._subject_claim = subject_claim
        self._operator_claim = operator_claim
        self._operators = OperatorCheck(find_member)
        self._issuer = issuer
        self._audience = audience
        # An optimisation: verifying costs more than the rest of a small request. Kept by digest, so
        # that no token can be read from memory, and with the expiry in seconds.
        self._remembered: dict[bytes, tuple[Credentials, float]] = {}
        self._remembered_generation = keys.generation

    async def credentials(self, authorization: str | None) -> Credentials | None:
        """Returns the credentials of an `Authorization` header, or None without one.

        Raises InvalidTokenError or KeysUnavailableError, and for an operator's token
        DatabaseUnavailableError.
        """
        if authorization is None:
            return None
        scheme, _, token = authorization.strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise InvalidTokenError(TokenFault.NOT_A_BEARER_TOKEN)
        credentials = await self._verified(token)
        if credentials.operator and credentials.subject is not None:
            await self._operators.check(credentials.subject)
        return credentials

    async def connection_credentials(
        self, payload: Mapping[str, Any], handshake: str | None
    ) -> Credentials | None:
        """Returns the credentials of a WebSocket, or None without any.

        They are `authorization` in the payload of `connection_init`, else in its `headers`, else
        the `Authorization` of the handshake. The case of names does not matter.
        """
        named = _lower_case(payload)
        headers = named.get("headers")
        inner = _lower_case(headers) if isinstance(headers, Mapping) else {}
        for place in (named, inner):
            if "authorization" in place:
                value = place["authorization"]
                if not isinstance(value, str):
                    raise InvalidTokenError(TokenFault.NOT_TEXT)
                return await self.credentials(value)
        return await self.credentials(handshake)

    async def _verified(self, token: str) -> Credentials:
        """Verifies a token, unless it was verified before with the same keys."""
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise InvalidTokenError(TokenFault.TOO_LONG)
        if self._remembered_generation != self._keys.generation:
            self._remembered.clear()
            self._remembered_generation = self._keys.generation
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        remembered = self._remembered.get(digest)
        if remembered is None:
            generation = self._keys.generation
            credentials = self._read(token, await self._key(token))
            if generation == self._keys.generation:
                self._remember(digest, credentials)
            return credentials
        credentials, expires_at = remembered
        if expires_at <= time.time():
            del self._remembered[digest]
            raise InvalidTokenError(TokenFault.EXPIRED)
        return credentials

    def _remember(self, digest: bytes, credentials: Credentials) -> None:
        if len(self._remembered) >= REMEMBERED_TOKENS:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[digest] = credentials, credentials.expires_at.timestamp()

    async def _key(self, token: str) -> Any:
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.InvalidTokenError, ValueError) as error:
            raise InvalidTokenError(TokenFault.NOT_VALID) from error
        if header.get("alg") not in self._algorithms or header.get("typ") not in _TYPES:
            raise InvalidTokenError(TokenFault.NOT_VALID)
        key = self._keys.known(header)
        if key is None:
            # A token that would be refused anyway must not make us ask the provider for its key.
            self._read(token, key="", verify_signature=False)
            key = await self._keys.fetched(header)
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
            fault = _FAULTS.get(type(error), TokenFault.NOT_VALID)
            raise InvalidTokenError(fault) from error
        except (ValueError, OverflowError, OSError, TypeError) as error:
            # A time beyond the calendar raises any of the first three, by how far it is beyond.
            raise InvalidTokenError(TokenFault.NOT_VALID) from error
        if expires_at.timestamp() <= time.time():
            raise InvalidTokenError(TokenFault.EXPIRED)
        return self._credentials(claims, expires_at)

    def _credentials(self, claims: Mapping[str, Any], expires_at: datetime) -> Credentials:
        subject = claims[self._subject_claim]
        if not isinstance(subject, str) or not subject.isprintable():
            raise InvalidTokenError(TokenFault.SUBJECT_NOT_TEXT)
        operator = claims_operator_rights(claims, self._operator_claim)
        return Credentials(canonical_portal_id(subject), operator, expires_at)


def _lower_case(names: Mapping[str, Any]) -> dict[str, Any]:
    return {name.lower(): value for name, value in names.items()}


def identity_provider(settings: Settings) -> IdentityProvider | None:
    """Returns the configured provider, or None where the service signs its tokens itself."""
    if settings.auth_issuer is None:
        return None
    return IdentityProvider(settings.auth_issuer, settings.auth_jwks_url)


def authenticator_of(
    settings: Settings, provider: IdentityProvider | None, find_member: FindMember
) -> Authenticator:
    claim = settings.auth_subject_claim
    if provider is None:
        secret = SharedSecret(settings.auth_secret.get_secret_value())
        return Authenticator(secret, [OWN_ALGORITHM], subject_claim=claim, find_member=find_member)
    return Authenticator(
        provider,
        ALGORITHMS,
        subject_claim=claim,
        find_member=find_member,
        operator_claim=settings.required_operator_claim,
        issuer=settings.auth_issuer,
        audience=settings.auth_audience,
    )
