"""Bearer tokens: who is asking, never what they may do. HS256 with a shared secret."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from app.settings import Settings
from db.vocabulary import canonical_portal_id
from schema.context import Credentials

ALGORITHM = "HS256"
OPERATOR_SCOPE = "sync:operate"
MAX_TOKEN_CHARACTERS = 8192


class InvalidTokenError(Exception):
    """The message is for the client, and says nothing of the secret."""


class Authenticator:
    def __init__(self, settings: Settings) -> None:
        self._secret = settings.auth_secret.get_secret_value()
        self._subject_claim = settings.auth_subject_claim

    def credentials(self, authorization: str | None) -> Credentials | None:
        """None when nothing was sent. Raises InvalidTokenError."""
        if authorization is None:
            return None
        scheme, _, token = authorization.strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise InvalidTokenError("Send `Authorization: Bearer <token>`.")
        return self._read(token.strip())

    def connection_credentials(self, params: Mapping[str, Any] | None) -> Credentials | None:
        """From the payload of `connection_init`, where the name may be written in any case."""
        for name, value in (params or {}).items():
            if name.lower() == "authorization":
                if not isinstance(value, str):
                    raise InvalidTokenError("`authorization` must be text.")
                return self.credentials(value)
        return None

    def mint(self, subject: str, *, operator: bool, lifetime: timedelta) -> str:
        now = datetime.now(UTC)
        claims = {self._subject_claim: subject, "iat": now, "exp": now + lifetime}
        if operator:
            claims["scope"] = OPERATOR_SCOPE
        return jwt.encode(claims, self._secret, ALGORITHM)

    def _read(self, token: str) -> Credentials:
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise InvalidTokenError("The token is too long.")
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                options={"require": ["exp", self._subject_claim], "verify_sub": False},
            )
            expires_at = datetime.fromtimestamp(int(claims["exp"]), UTC)
        except jwt.ExpiredSignatureError as error:
            raise InvalidTokenError("The token has expired.") from error
        except (jwt.InvalidTokenError, ValueError, OverflowError, TypeError) as error:
            raise InvalidTokenError("The token is not valid.") from error
        subject = claims[self._subject_claim]
        if not isinstance(subject, str) or not subject.isprintable():
            raise InvalidTokenError("The token's subject is not text.")
        scope = claims.get("scope", "")
        operator = isinstance(scope, str) and OPERATOR_SCOPE in scope.split()
        return Credentials(canonical_portal_id(subject), operator, expires_at)
