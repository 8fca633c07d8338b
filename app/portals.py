"""Opens the Web APIs of the sources that have one, as their mappings say."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime

import httpx

from app.settings import Settings
from db.database import Database
from resolvers.source_views import ConfiguredSource
from sync.dataverse.access_tokens import tokens_of
from sync.dataverse.connected_portal import DataversePortal
from sync.dataverse.errors import PortalRefusedError
from sync.dataverse.mapping import PortalMapping, duration, load_mapping
from sync.dataverse.web_api import MOST_ATTEMPTS, WebApi
from sync.reconcile.guard import Guard
from sync.reconcile.poller import PortalPoller, Schedule


@asynccontextmanager
async def open_portal(
    mapping: PortalMapping, clock: Callable[[], datetime], *, attempts: int = MOST_ATTEMPTS
) -> AsyncIterator[DataversePortal]:
    """`attempts` are those of one request.

    Raises PortalRefusedError if the mapping names no API, or no way to sign in that works.
    """
    async with open_web_api(mapping, clock, attempts=attempts) as api:
        yield DataversePortal(api, mapping, clock)


@asynccontextmanager
async def open_web_api(
    mapping: PortalMapping, clock: Callable[[], datetime], *, attempts: int = MOST_ATTEMPTS
) -> AsyncIterator[WebApi]:
    """Raises PortalRefusedError as `open_portal` does."""
    environment = mapping.environment
    if environment.api is None or environment.auth is None:
        raise PortalRefusedError("The mapping names no Web API.")
    async with httpx.AsyncClient() as http:
        tokens = tokens_of(environment.auth, environment.api, http, clock)
        size = mapping.reconcile.page_size
        yield WebApi(http, environment.api, tokens, page_size=size, attempts=attempts)


@asynccontextmanager
async def open_portals(
    settings: Settings, clock: Callable[[], datetime]
) -> AsyncIterator[dict[str, DataversePortal]]:
    """Opens the portals of all sources that have one, by source, to read single rows.

    A request is made once: the entry that waits for it is tried again by its own schedule.
    """
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(open_portal(mapping, clock, attempts=1))
            for name, mapping in _mappings(settings)
        }


@asynccontextmanager
async def poll_portals(
    settings: Settings, database: Database, clock: Callable[[], datetime]
) -> AsyncIterator[None]:
    """Compares the portals of all sources that have one, as long as the block lasts."""
    async with AsyncExitStack() as stack:
        for name, mapping in _mappings(settings):
            portal = await stack.enter_async_context(open_portal(mapping, clock))
            plan = mapping.reconcile
            schedule = Schedule(duration(plan.poll), duration(plan.full), plan.start == "serve")
            guard = Guard(plan.hold_above_count, plan.hold_above_share)
            poller = PortalPoller(database, name, portal, schedule, guard, clock)
            await stack.enter_async_context(poller)
        yield


def configured_sources(settings: Settings) -> list[ConfiguredSource]:
    """Returns the sources of the settings, by name."""
    comparable = {name for name, _ in _mappings(settings)}
    return [
        ConfiguredSource(name, source.scheme, comparable=name in comparable)
        for name, source in sorted(settings.sources.items())
    ]


def _mappings(settings: Settings) -> Iterator[tuple[str, PortalMapping]]:
    """Yields the sources whose mapping names a Web API."""
    for name, source in settings.sources.items():
        mapping = load_mapping(source.mapping) if source.mapping else None
        if mapping is not None and mapping.environment.api is not None:
            yield name, mapping
