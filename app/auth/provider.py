"""Fetches the keys of the identity provider, keeps them, and refreshes them in the background.

A request waits for the provider only if its token names an unknown key. While the provider is away,
the known keys stay in use for a day.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic
from typing import Any

import httpx
import msgspec
from jwt import PyJWK

from app.auth.errors import InvalidTokenError, KeysUnavailableError, TokenFault
from app.auth.keys import SigningKeys

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 300.0
RETRY_SECONDS = 5.0
UNKNOWN_KEY_SECONDS = 5.0
"""The shortest time between two questions for unknown keys, however many tokens name one."""
FETCH_SECONDS = 5.0
MAX_AGE_SECONDS = 24 * 3600.0
"""How long keys are used after the provider last published them."""
MAX_DOCUMENT_BYTES = 256 * 1024


class Discovery(msgspec.Struct):
    """The fields of `/.well-known/openid-configuration` that are needed here."""

    issuer: str
    jwks_uri: str


class IdentityProvider:
    """The keys of one issuer; an async context manager. `generation` grows whenever they change."""

    def __init__(self, issuer: str, jwks_url: str | None = None) -> None:
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._keys: SigningKeys | None = None
        self._document: bytes | None = None
        self._published_at = 0.0
        self._asking: asyncio.Task[bool] | None = None
        self._unknown_key_allowed_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self.generation = 0

    async def __aenter__(self) -> "IdentityProvider":
        """Starts fetching and returns at once: without keys, only requests with tokens fail."""
        self._client = httpx.AsyncClient(timeout=FETCH_SECONDS)
        self._task = asyncio.create_task(self._keep_fresh(), name="keys of the identity provider")
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (self._task, self._asking):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        await self._client.aclose()

    def known(self, header: Mapping[str, Any]) -> PyJWK | None:
        """Returns the key for a token with this header, or None if it is not known yet."""
        return None if self._keys is None else self._keys.find(header)

    async def fetched(self, header: Mapping[str, Any]) -> PyJWK:
        """Returns the key for a token with this header after asking the provider for new keys.

        Raises InvalidTokenError, or KeysUnavailableError if there are no keys, or too old ones.
        """
        if self._asking is not None and not self._asking.done():
            await self._ask()
        # The provider may have published the key after that question.
        if self.known(header) is None and monotonic() >= self._unknown_key_allowed_at:
            self._unknown_key_allowed_at = monotonic() + UNKNOWN_KEY_SECONDS
            await self._ask()
        if self._keys is None:
            raise KeysUnavailableError
        key = self._keys.find(header)
        if key is None:
            raise InvalidTokenError(TokenFault.UNKNOWN_KEY)
        return key

    async def published(self) -> SigningKeys:
        """Returns the keys that the provider publishes now, whichever are in use here.

        Raises httpx.HTTPError, TimeoutError, or ValueError for what is no key set.
        """
        return SigningKeys.from_json(await self._published_document())

    async def _published_document(self) -> bytes:
        async with asyncio.timeout(FETCH_SECONDS):
            return await self._get(self._jwks_url or await self._discovered())

    async def _ask(self) -> bool:
        """Fetches the keys; returns False if that failed. Concurrent callers share one request."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._fetch(), name="fetching keys")
        # A caller that is cancelled must not cancel the request of the others.
        return await asyncio.shield(self._asking)

    async def _keep_fresh(self) -> None:
        while True:
            answered = await self._ask()
            await asyncio.sleep(REFRESH_SECONDS if answered else RETRY_SECONDS)

    async def _fetch(self) -> bool:
        try:
            document = await self._published_document()
            if document != self._document:
                self._replace(SigningKeys.from_json(document), document)
        except Exception as error:  # Whatever the provider answers, the next attempt must come.
            logger.warning("Fetching the keys of the identity provider failed: %r", error)
            self._drop_old_keys()
            return False
        self._published_at = monotonic()
        return True

    def _replace(self, keys: SigningKeys | None, document: bytes | None) -> None:
        self._keys, self._document = keys, document
        self.generation += 1
        if keys is not None and not keys.keys:
            logger.warning("The identity provider publishes no usable key: no token is accepted.")

    def _drop_old_keys(self) -> None:
        """Ends the use of keys that the provider may have withdrawn while it could not be asked."""
        if self._keys is not None and monotonic() - self._published_at > MAX_AGE_SECONDS:
            logger.error(
                "The keys of the identity provider are %d s old: no token is accepted until it "
                "can be reached.",
                monotonic() - self._published_at,
            )
            self._replace(None, None)

    async def _discovered(self) -> str:
        """Returns the URL of the keys. Raises ValueError if the document is not the issuer's."""
        url = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            found = msgspec.json.decode(await self._get(url), type=Discovery)
        except msgspec.MsgspecError as error:
            raise ValueError(f"{url} is not an OpenID Connect discovery document") from error
        if found.issuer != self._issuer:
            raise ValueError(f"{url} names another issuer")
        if self._issuer.startswith("https://") and not found.jwks_uri.startswith("https://"):
            raise ValueError(f"{url} names a jwks_uri without TLS")
        return found.jwks_uri

    async def _get(self, url: str) -> bytes:
        async with self._client.stream("GET", url) as response:
            response.raise_for_status()
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_DOCUMENT_BYTES:
                    raise ValueError(f"{url} has more than {MAX_DOCUMENT_BYTES} bytes")
        return bytes(body)
