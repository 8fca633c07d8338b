"""Opens the Web APIs of the sources that have one, as their mappings say."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime

import httpx

from app.settings import Settings
from sync.dataverse.errors import PortalRefusedError
from sync.dataverse.mapping import PortalMapping, load_mapping
from sync.dataverse.portal import DataversePortal
from sync.dataverse.tokens import tokens_of
from sync.dataverse.web_api import MOST_ATTEMPTS, WebApi


@asynccontextmanager
async def open_portal(
    mapping: PortalMapping, clock: Callable[[], datetime], *, attempts: int = MOST_ATTEMPTS
) -> AsyncIterator[DataversePortal]:
    """`attempts` are those of one request.

    Raises PortalRefusedError if the mapping names no API, or no way to sign in that works.
    """
    environment = mapping.environment
    if environment.api is None or environment.auth is None:
        raise PortalRefusedError("The mapping names no Web API.")
    async with httpx.AsyncClient() as http:
        tokens = tokens_of(environment.auth, environment.api, http, clock)
        api = WebApi(
            http, environment.api, tokens, page_size=mapping.reconcile.page_size, attempts=attempts
        )
        yield DataversePortal(api, mapping, clock)


@asynccontextmanager
async def open_portals(
    settings: Settings, clock: Callable[[], datetime]
) -> AsyncIterator[dict[str, DataversePortal]]:
    """Opens the portals of all sources that have one, by source, to read single rows.

    A request is made once: the entry that waits for it is tried again by its own schedule.
    """
    async with AsyncExitStack() as stack:
        portals = {}
        for name, source in settings.sources.items():
            mapping = load_mapping(source.mapping) if source.mapping else None
            if mapping is not None and mapping.environment.api is not None:
                portals[name] = await stack.enter_async_context(
                    open_portal(mapping, clock, attempts=1)
                )
        yield portals
