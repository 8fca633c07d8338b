"""Tokens that this service signs itself with LIKEPERSON_AUTH_SECRET, for development.

A link never carries a token, since browsers write addresses to disk. It carries a code, which is
exchanged for a token once, within a minute.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from secrets import token_urlsafe
from typing import Any

import jwt

from app.settings import Settings, SettingsError

OWN_ALGORITHM = "HS256"
OPERATOR_SCOPE = "sync:operate"
CODE_SECONDS = 60
SESSION_LIFETIME = timedelta(hours=12)
_CODE_TYPE = "sign-in-code+jwt"


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
    _require_own_tokens(settings)
    claims = {settings.auth_subject_claim: subject}
    if operator:
        claims["scope"] = OPERATOR_SCOPE
    return _signed(settings, claims, lifetime)


def mint_code(settings: Settings, subject: str, *, operator: bool) -> str:
    """Returns a one-time code for a link. Raises SettingsError as `mint` does."""
    _require_own_tokens(settings)
    claims = {"subject": subject, "operator": operator, "jti": token_urlsafe(16)}
    return _signed(settings, claims, timedelta(seconds=CODE_SECONDS), {"typ": _CODE_TYPE})


class SignInCodes:
    """Exchanges one-time codes for tokens. A code that was used is remembered by this process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._used: dict[str, int] = {}

    def exchange(self, code: str) -> str | None:
        """Returns a token; None for a code that is not valid, has expired, or was used before."""
        if self._settings.auth_issuer is not None:
            return None
        try:
            found = jwt.decode_complete(
                code,
                self._settings.auth_secret.get_secret_value(),
                [OWN_ALGORITHM],
                {"require": ["exp", "jti"]},
            )
        except (jwt.InvalidTokenError, ValueError):
            return None
        claims = found["payload"]
        if found["header"].get("typ") != _CODE_TYPE or claims["jti"] in self._used:
            return None
        now = time.time()
        self._used = {jti: end for jti, end in self._used.items() if end > now}
        self._used[claims["jti"]] = claims["exp"]
        return mint(
            self._settings,
            claims["subject"],
            operator=claims["operator"],
            lifetime=SESSION_LIFETIME,
        )


def _require_own_tokens(settings: Settings) -> None:
    if settings.auth_issuer is not None:
        raise SettingsError(
            f"Tokens are issued by {settings.auth_issuer} (LIKEPERSON_AUTH_ISSUER), not here."
        )


def _signed(
    settings: Settings,
    claims: Mapping[str, object],
    lifetime: timedelta,
    header: dict[str, str] | None = None,
) -> str:
    now = datetime.now(UTC)
    timed = {**claims, "iat": now, "exp": now + lifetime}
    return jwt.encode(timed, settings.auth_secret.get_secret_value(), OWN_ALGORITHM, header)
