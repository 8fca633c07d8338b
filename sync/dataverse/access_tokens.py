"""Access tokens for the Web API, kept until shortly before they end."""

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
import msgspec

from sync.dataverse.errors import PortalRefusedError, PortalUnavailableError
from sync.dataverse.mapping import (
    Authentication,
    Certificate,
    ClientSecret,
    ManagedIdentity,
    MappingError,
    StaticToken,
    named_secret,
)

AUTHORITY = "https://login.microsoftonline.com"
# So long before its end a token is no longer used: a request may take a while.
_MARGIN = timedelta(minutes=5)


class Tokens(Protocol):
    async def token(self) -> str:
        """Raises PortalUnavailableError or PortalRefusedError."""
        ...

    def forget(self) -> None:
        """Says that the last token was refused."""


@dataclass(slots=True)
class FixedToken:
    """A token that somebody else keeps fresh."""

    text: str

    async def token(self) -> str:
        return self.text

    def forget(self) -> None:
        """Does nothing: there is no other."""


class _Granted(msgspec.Struct):
    access_token: str
    expires_in: int = 3600


class ClientCredentials:
    """Tokens by the client credentials grant of OAuth 2.0, which is a single request."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        url: str,
        form: Mapping[str, str],
        clock: Callable[[], datetime],
    ) -> None:
        self._http = http
        self._url = url
        self._form = {**form, "grant_type": "client_credentials"}
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._kept: tuple[str, datetime] | None = None

    async def token(self) -> str:
        async with self._one_at_a_time:
            if self._kept is None or self._clock() >= self._kept[1]:
                granted = await self._ask()
                ends_at = self._clock() + timedelta(seconds=granted.expires_in)
                self._kept = granted.access_token, ends_at - _MARGIN
            return self._kept[0]

    def forget(self) -> None:
        self._kept = None

    async def _ask(self) -> _Granted:
        try:
            response = await self._http.post(self._url, data=self._form)
        except httpx.HTTPError as error:
            raise PortalUnavailableError("The token service does not answer.") from error
        if response.status_code in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED):
            raise PortalRefusedError(
                "The token service refuses the client: check tenant, client_id and secret."
            )
        try:
            response.raise_for_status()
            return msgspec.json.decode(response.content, type=_Granted)
        except (httpx.HTTPStatusError, msgspec.DecodeError) as error:
            raise PortalUnavailableError("The token service has no token now.") from error


def tokens_of(
    settings: Authentication,
    api: str,
    http: httpx.AsyncClient,
    clock: Callable[[], datetime],
    *,
    environment: Mapping[str, str] = os.environ,
    authority: str = AUTHORITY,
) -> Tokens:
    """Returns where the tokens for the API come from.

    Raises PortalRefusedError if a secret that the mapping names is not in the environment.
    """
    if isinstance(settings, StaticToken):
        return FixedToken(_secret(environment, settings.token_env))
    if isinstance(settings, ClientSecret):
        parts = urlsplit(api)
        form = {
            "client_id": settings.client_id,
            "client_secret": _secret(environment, settings.secret_env),
            "scope": f"{parts.scheme}://{parts.netloc}/.default",
        }
        url = f"{authority}/{settings.tenant}/oauth2/v2.0/token"
        return ClientCredentials(http, url, form, clock)
    return _azure_tokens(settings, api)


def _secret(environment: Mapping[str, str], name: str) -> str:
    try:
        secret = named_secret(environment, name)
    except MappingError as error:
        raise PortalRefusedError(f"The secret that the mapping names: {error}.") from error
    if not secret:
        raise PortalRefusedError(
            f"The environment variable {name}, which the mapping names, is not set."
        )
    return secret


class _AzureTokens:
    """Tokens of `azure-identity`, which keeps them itself and knows no other way than to block."""

    def __init__(self, credential: Any, scope: str) -> None:
        self._credential = credential
        self._scope = scope

    async def token(self) -> str:
        try:
            granted = await asyncio.to_thread(self._credential.get_token, self._scope)
        except Exception as error:
            # The library raises what its transports raise, and tells more in its own log.
            raise PortalUnavailableError(
                f"azure-identity has no token: {type(error).__name__}."
            ) from error
        token: str = granted.token
        return token

    def forget(self) -> None:
        """Does nothing: the library renews what has ended."""


def _azure_tokens(settings: Certificate | ManagedIdentity, api: str) -> Tokens:
    if find_spec("azure") is None or find_spec("azure.identity") is None:
        raise PortalRefusedError(
            f"The kind of authentication {settings.__struct_config__.tag!r} needs azure-identity: "
            "install that package beside the service."
        )
    identity = import_module("azure.identity")
    parts = urlsplit(api)
    scope = f"{parts.scheme}://{parts.netloc}/.default"
    if isinstance(settings, ManagedIdentity):
        return _AzureTokens(identity.ManagedIdentityCredential(client_id=settings.client_id), scope)
    return _AzureTokens(
        identity.CertificateCredential(
            settings.tenant, settings.client_id, certificate_path=settings.certificate_file
        ),
        scope,
    )
