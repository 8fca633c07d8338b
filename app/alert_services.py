"""Opens what tells people, as the settings say."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime

from app.alerts.destinations import Destinations
from app.alerts.heartbeat import WatchmanPing
from app.alerts.quiet_hours import QuietHours
from app.alerts.watch import AlertWatch
from app.settings import Settings
from db.database import Database
from db.feed.change_feed import LiveFeed
from sync.concerns.keeper import ConcernKeeper


@asynccontextmanager
async def open_alerts(
    settings: Settings,
    database: Database,
    feed: LiveFeed,
    concerns: ConcernKeeper,
    clock: Callable[[], datetime],
) -> AsyncIterator[None]:
    """Tells people of concerns, and a watchman that all is well, as long as the block lasts."""
    async with AsyncExitStack() as stack:
        if settings.alerts:
            watch = AlertWatch(
                database,
                concerns.standing,
                Destinations([url.get_secret_value() for url in settings.alerts]),
                clock,
                quiet=quiet_hours_of(settings),
                link=health_page(settings),
            )
            await stack.enter_async_context(watch)
        if settings.heartbeat_url is not None:
            url = settings.heartbeat_url.get_secret_value()
            await stack.enter_async_context(WatchmanPing(url, database, feed, clock))
        yield


def quiet_hours_of(settings: Settings) -> QuietHours | None:
    text = settings.alerts_quiet
    return None if text is None else QuietHours.parse(text)


def health_page(settings: Settings) -> str | None:
    url = settings.public_url
    return None if url is None else f"{url.rstrip('/')}/driftsstatus"
