"""Everything an application runs on, opened and closed together."""

import gc
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from app.auth.tokens import Authenticator, authenticator_of, identity_provider
from app.open_connections import Sessions
from app.settings import PREFIX, Settings
from db.database import Database, NoDoorbell
from db.driver.engine import is_sqlite
from db.errors import DatabaseUnavailableError
from db.feed.bell import BroadcastBell, channel_of
from db.feed.change_feed import LiveFeed
from db.feed.changes import feed_head
from db.feed.retention import Keep, Retention
from db.migrate import migrate, require_current_schema
from db.queries.viewers import ViewerLookups
from resolvers.live.streams import LiveStreams
from sync.intake import Intake
from sync.record import record_deliveries
from sync.worker import RetryWorker

logger = logging.getLogger(__name__)


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Services:
    database: Database
    feed: LiveFeed
    streams: LiveStreams
    intake: Intake
    sessions: Sessions
    authenticator: Authenticator
    longest_silence: timedelta
    viewers: ViewerLookups
    clock: Callable[[], datetime] = utc_now


async def prepare_database(settings: Settings) -> None:
    """SQLite is brought up to date; PostgreSQL must be already, since other processes use it.

    Raises SchemaOutdatedError, NotADatabaseError or DatabaseUnavailableError.
    """
    with unreachable_named(settings):
        if is_sqlite(settings.database_url):
            await migrate(settings.database_url)
        else:
            await require_current_schema(settings.database_url)


@contextmanager
def unreachable_named(settings: Settings) -> Iterator[None]:
    """On PostgreSQL; a file has a name of its own. At the start it is a setting that is wrong, most
    of the time. The URL is not shown, since a password may be in it."""
    try:
        yield
    except DatabaseUnavailableError as error:
        if is_sqlite(settings.database_url):
            raise
        # The driver's own words, without what was wrapped around them.
        cause = error.__cause__ or error
        why = str(getattr(cause, "orig", None) or cause) or "no answer in time"
        raise DatabaseUnavailableError(
            f"The database of {PREFIX}DATABASE_URL cannot be reached: {why}"
        ) from error


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[tuple[Database, BroadcastBell]]:
    """With the bell of its feed."""
    await prepare_database(settings)
    channel = channel_of(await _feed_id(settings))
    async with BroadcastBell(settings.resolved_broadcast_url, channel=channel) as bell:
        database = Database(settings.database_url, bell, pool_size=settings.database_pool_size)
        try:
            yield database, bell
        finally:
            await database.close()


async def _feed_id(settings: Settings) -> str:
    """Asked before there is a bell, which it names."""
    database = Database(settings.database_url, NoDoorbell(), pool_size=1)
    try:
        async with database.read() as session:
            return (await feed_head(session)).feed_id
    finally:
        await database.close()


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """What was accepted is finished before the database is closed."""
    keep = Keep(timedelta(hours=settings.feed_hours), settings.feed_changes)
    async with (
        identity_provider(settings) or nullcontext() as provider,
        open_database(settings) as (database, bell),
        LiveFeed(database, bell) as feed,
        LiveStreams(database, feed) as streams,
        Sessions(feed) as sessions,
        RetryWorker(database, feed, utc_now),
        Retention(database, keep, utc_now),
        Intake(partial(record_deliveries, database), at_once=database.writes_at_once) as intake,
    ):
        _calm_garbage_collector()
        authenticator = authenticator_of(settings, provider)
        yield Services(
            database,
            feed,
            streams,
            intake,
            sessions,
            authenticator,
            timedelta(hours=settings.longest_silence_hours),
            ViewerLookups(database),
        )


def _calm_garbage_collector() -> None:
    """What stands at the start stays for ever: full collections need not look at it again. With
    thousands of sockets they stop the process for tenths of a second, so they are rare. But they
    come: what a connection leaves behind refers to itself, and is found by nothing else once the
    connection has stood for a while."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 5, 5)
