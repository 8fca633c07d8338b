"""Checks of what the service talks to: senders, the identity provider, the portal's Web API."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from urllib.parse import SplitResult, urlsplit

import httpx

from app.auth.provider import FETCH_SECONDS
from app.auth.tokens import identity_provider
from app.doctor.diagnosis import Diagnosis, doubtful, wrong
from app.portals import open_web_api
from app.services import utc_now
from app.settings import Settings
from db.database import Database, SilentBell
from db.driver.urls import sqlite_file
from db.errors import DatabaseError
from db.queries.log.refusal_counts import RefusalCount, refusals_since
from db.queries.log.source_activity import last_received
from sync.dataverse.check import check_mapping
from sync.dataverse.errors import PortalError
from sync.dataverse.mapping import load_mapping

_DAY = timedelta(days=1)
_ENDS_SOON = timedelta(days=14)


async def sources(settings: Settings) -> AsyncIterator[Diagnosis]:
    """Checks when each source was last heard, and what was refused in its name within a day."""
    on = {name for name, source in settings.sources.items() if source.usable_secrets}
    for name in settings.sources.keys() - on:
        advice = "Give it a secret, or take it out."
        yield doubtful("source", f"{name} has no secret, and is switched off", advice)
    if not on:
        yield wrong(
            "source", "No webhook can be taken", "Name a source in LIKEPERSON_SOURCES or its file."
        )
    file = sqlite_file(settings.database_url)
    if file is not None and not file.is_file():
        return
    database = Database(settings.database_url, SilentBell(), pool_size=1)
    try:
        async with database.read() as session:
            heard = {name: await last_received(session, name) for name in sorted(on)}
            refused = await refusals_since(session, utc_now() - _DAY)
    except DatabaseError:
        return  # The checks of the database say why.
    finally:
        await database.close()
    longest = timedelta(hours=settings.longest_silence_hours)
    for name, at in heard.items():
        yield _last_heard(name, at, longest)
    for count in refused:
        yield _refused(count)


def _last_heard(name: str, at: datetime | None, longest: timedelta) -> Diagnosis:
    if at is None:
        advice = f"Let the sender post to /webhooks/{name}, and look at what it is answered."
        return doubtful("source", f"{name} has never been heard", advice)
    what = f"{name} was last heard at {at:%Y-%m-%d %H:%M} UTC"
    if utc_now() - at > longest:
        advice = "Look at the sender: its address, its secret, its queue of failed messages."
        return doubtful("source", what, advice)
    return Diagnosis("source", what)


def _refused(count: RefusalCount) -> Diagnosis:
    what = f"{count.count} webhooks to {count.source} were refused within a day: {count.reason}"
    if count.skew_seconds:
        advice = f"The sender's clock differs by {count.skew_seconds} s; correct it."
    else:
        advice = "Compare secrets and scheme with those of the sender, or find out who tries."
    return doubtful("source", what, advice)


async def provider(settings: Settings) -> AsyncIterator[Diagnosis]:
    keys_of = identity_provider(settings)
    if keys_of is None:
        return
    async with keys_of:
        try:
            keys = await keys_of.published()
        except (httpx.HTTPError, TimeoutError, ValueError, OSError) as error:
            why = str(error) or f"no answer within {FETCH_SECONDS:g} s"
            advice = "Correct LIKEPERSON_AUTH_ISSUER or _JWKS_URL, or let this machine reach it."
            yield wrong("provider", f"The keys of the provider cannot be read: {why}", advice)
            return
    if keys.keys:
        yield Diagnosis("provider", f"The provider publishes {len(keys.keys)} usable keys")
    else:
        advice = "Let it sign with RS256 (2,048 bits or more), ES256 or EdDSA."
        yield wrong("provider", "The provider publishes no usable key", advice)


async def portals(settings: Settings) -> AsyncIterator[Diagnosis]:
    """Checks each mapping against its environment."""
    for name, source in settings.sources.items():
        if source.mapping is None:
            continue
        mapping = load_mapping(source.mapping)
        if mapping.environment.api is None:
            advice = "Name an API in it, so that lost messages are found by comparison."
            yield doubtful("mapping", f"{name} is known by its messages alone", advice)
            continue
        right = 0
        try:
            async with open_web_api(mapping, utc_now, attempts=1) as api:
                async for finding in check_mapping(api, mapping):
                    right += finding.advice is None
                    if finding.advice is not None:
                        yield wrong("mapping", f"{name}: {finding.what}", finding.advice)
        except PortalError as error:
            advice = f"See `likeperson-sync dataverse check {name}`."
            yield wrong("mapping", f"{name}: {error}", advice)
        if right:
            yield Diagnosis("mapping", f"{name}: {right} things are as the mapping says")


async def certificates(settings: Settings) -> AsyncIterator[Diagnosis]:
    """Checks how long the certificates of those whom we ask over TLS are valid."""
    urls = [settings.auth_issuer, settings.auth_jwks_url]
    mappings = [it.mapping for it in settings.sources.values() if it.mapping is not None]
    urls += [load_mapping(mapping).environment.api for mapping in mappings]
    hosts = {(it.hostname, it.port or 443) for it in map(_parts, urls) if it.scheme == "https"}
    for host, port in sorted((host or "", port) for host, port in hosts):
        yield await _certificate(host, port)


def _parts(url: str | None) -> SplitResult:
    return urlsplit(url or "")


async def _certificate(host: str, port: int) -> Diagnosis:
    try:
        async with asyncio.timeout(FETCH_SECONDS):
            context = ssl.create_default_context()
            _, writer = await asyncio.open_connection(host, port, ssl=context)
            found = writer.get_extra_info("peercert")
            writer.close()
    except (OSError, TimeoutError) as error:
        why = str(error) or f"no answer within {FETCH_SECONDS:g} s"
        advice = "Let whoever runs it renew the certificate, or let this machine trust it."
        return wrong("certificate", f"{host}: {why}", advice)
    ends_at = datetime.fromtimestamp(ssl.cert_time_to_seconds(found["notAfter"]), UTC)
    what = f"The certificate of {host} is valid until {ends_at:%Y-%m-%d}"
    if ends_at - utc_now() < _ENDS_SOON:
        return doubtful("certificate", what, "Ask whoever runs it to renew it.")
    return Diagnosis("certificate", what)
