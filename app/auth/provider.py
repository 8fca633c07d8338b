"""The identity provider: its keys, fetched, kept, and fetched anew before anybody misses them.

Nobody waits for the provider except with a token whose key is not known yet. Known keys go on
working while it is away, and are given up only when it says so itself.
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

from app.auth.errors import InvalidTokenError, KeysUnavailableError
from app.auth.keys import SigningKeys

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 300.0
RETRY_SECONDS = 5.0
UNKNOWN_KEY_SECONDS = 5.0
"""However many tokens name keys that are not known, the provider is asked this often at most."""
FETCH_SECONDS = 5.0
MAX_DOCUMENT_BYTES = 256 * 1024


class Discovery(msgspec.Struct):
    """What is needed of `/.well-known/openid-configuration`."""

    issuer: str
    jwks_uri: str


class IdentityProvider:
    """Runs inside `async with`. `generation` grows whenever the keys are no longer the same."""

    def __init__(self, issuer: str, jwks_url: str | None = None) -> None:
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._keys: SigningKeys | None = None
        self._document: bytes | None = None
        self._asking: asyncio.Task[bool] | None = None
        self._unknown_key_allowed_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self.generation = 0

    async def __aenter__(self) -> "IdentityProvider":
        """Waits for nothing: without the provider, all but the tokens is served."""
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
        return None if self._keys is None else self._keys.find(header)

    async def asked(self, header: Mapping[str, Any]) -> PyJWK:
        """For a key that is not known: the provider may have a new one.

        Raises InvalidTokenError, or KeysUnavailableError when there are no keys at all.
        """
        if self._asking is not None:
            await self._ask()
        # That question may have been asked before the key was made.
        if self.known(header) is None and monotonic() >= self._unknown_key_allowed_at:
            self._unknown_key_allowed_at = monotonic() + UNKNOWN_KEY_SECONDS
            await self._ask()
        if self._keys is None:
            raise KeysUnavailableError
        key = self._keys.find(header)
        if key is None:
            raise InvalidTokenError("The token is signed with a key that is not known.")
        return key

    async def _ask(self) -> bool:
        """Whether the provider answered. Callers at the same time share one question."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._fetch(), name="asking for keys")
            self._asking.add_done_callback(self._answered)
        # One caller that goes away must not take the answer from the others.
        return await asyncio.shield(self._asking)

    def _answered(self, _: asyncio.Task[bool]) -> None:
        self._asking = None

    async def _keep_fresh(self) -> None:
        while True:
            answered = await self._ask()
            await asyncio.sleep(REFRESH_SECONDS if answered else RETRY_SECONDS)

    async def _fetch(self) -> bool:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                document = await self._get(self._jwks_url or await self._discovered())
            if document != self._document:
                self._keys = SigningKeys.from_json(document)
                self._document = document
                self.generation += 1
        except (OSError, httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            logger.warning("No keys from the identity provider: %r", error)
            return False
        return True

    async def _discovered(self) -> str:
        """Raises ValueError for a document that is not the issuer's."""
        url = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            found = msgspec.json.decode(await self._get(url), type=Discovery)
        except msgspec.MsgspecError as error:
            raise ValueError(f"{url} is not a discovery document") from error
        if found.issuer != self._issuer:
            raise ValueError(f"{url} speaks for another issuer")
        if self._issuer.startswith("https://") and not found.jwks_uri.startswith("https://"):
            raise ValueError(f"{url} names keys that come without TLS")
        return found.jwks_uri

    async def _get(self, url: str) -> bytes:
        async with self._client.stream("GET", url) as response:
            response.raise_for_status()
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_DOCUMENT_BYTES:
                    raise ValueError(f"{url} is too large")
        return bytes(body)
