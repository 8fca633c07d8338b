"""Tokens that this service signs itself with LIKEPERSON_AUTH_SECRET, for development."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from app.settings import Settings, SettingsError

OWN_ALGORITHM = "HS256"
OPERATOR_SCOPE = "sync:operate"


class SharedSecret:
    """The only key that verifies the service's own tokens."""

    generation = 0

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def known(self, _header: Mapping[str, Any]) -> str:
        return self._secret

    async def fetched(self, _header: Mapping[str, Any]) -> str:
        return self._secret


def mint(settings: Settings, subject: str, *, operator: bool, lifetime: timedelta) -> str:
    """Returns a signed token. Raises SettingsError where an identity provider issues the tokens."""
    if settings.auth_issuer is not None:
        raise SettingsError(
            f"Tokens are issued by {settings.auth_issuer} (LIKEPERSON_AUTH_ISSUER), not here."
        )
    now = datetime.now(UTC)
    claims = {settings.auth_subject_claim: subject, "iat": now, "exp": now + lifetime}
    if operator:
        claims["scope"] = OPERATOR_SCOPE
    return jwt.encode(claims, settings.auth_secret.get_secret_value(), OWN_ALGORITHM)
