"""The services an application runs on, opened and closed together."""

import gc
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from app.alert_services import open_alerts
from app.auth.tokens import Authenticator, authenticator_of, identity_provider
from app.open_connections import OpenConnections
from app.portals import configured_sources, open_portals, poll_portals
from app.settings import PREFIX, Settings
from app.storage import storage_fault
from db.database import Database, SilentBell
from db.driver.urls import is_sqlite
from db.errors import DatabaseUnavailableError
from db.feed.bell import BroadcastBell, channel_of
from db.feed.change_feed import LiveFeed
from db.feed.changes import feed_head
from db.feed.retention import Keep, Retention
from db.migrate import migrate, require_current_schema
from db.queries.chapters.national_body import NationalBody
from db.queries.members.member_pages import MemberRow, member_by_portal_id
from db.queries.members.viewers import OPERATOR, ViewerLookups
from db.vocabulary import PortalId
from resolvers.live.change_pages import ChangePages
from resolvers.live.streams import LiveStreams
from resolvers.source_views import ConfiguredSource
from sync.body_retention import BodyRetention, KeptBodies
from sync.concerns.keeper import ConcernKeeper
from sync.concerns.survey import Watched
from sync.intake.queue import Intake
from sync.intake.refusals import Refusals
from sync.recording.record import record_deliveries
from sync.recording.worker import RetryWorker

logger = logging.getLogger(__name__)


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Services:
    database: Database
    feed: LiveFeed
    streams: LiveStreams
    pages: ChangePages
    intake: Intake
    refusals: Refusals
    connections: OpenConnections
    authenticator: Authenticator
    concerns: ConcernKeeper
    viewers: ViewerLookups
    body_retention: BodyRetention
    sources: Sequence[ConfiguredSource]
    clock: Callable[[], datetime] = utc_now


async def prepare_database(settings: Settings) -> None:
    """Migrates SQLite; checks that PostgreSQL, which other processes use, is migrated already.

    Raises SchemaOutdatedError, NotADatabaseError or DatabaseUnavailableError.
    """
    with unreachable_named(settings):
        if is_sqlite(settings.database_url):
            await migrate(settings.database_url)
        else:
            await require_current_schema(settings.database_url)


@contextmanager
def unreachable_named(settings: Settings) -> Iterator[None]:
    """Names the setting when PostgreSQL is unreachable, since at the start it is usually wrong.

    The URL is not shown, because it may hold a password. SQLite's errors name their file already.
    """
    try:
        yield
    except DatabaseUnavailableError as error:
        if is_sqlite(settings.database_url):
            raise
        # The driver's own message, without what was wrapped around it.
        cause = error.__cause__ or error
        why = str(getattr(cause, "orig", None) or cause) or "no answer in time"
        raise DatabaseUnavailableError(
            f"The database of {PREFIX}DATABASE_URL cannot be reached: {why}"
        ) from error


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[tuple[Database, BroadcastBell]]:
    """Opens the database and the bell of its change feed."""
    await prepare_database(settings)
    channel = channel_of(await _feed_id(settings))
    async with BroadcastBell(settings.resolved_broadcast_url, channel=channel) as bell:
        database = Database(settings.database_url, bell, pool_size=settings.database_pool_size)
        try:
            yield database, bell
        finally:
            await database.close()


async def _feed_id(settings: Settings) -> str:
    """Returns the id of the change feed, which names the channel of the bell."""
    database = Database(settings.database_url, SilentBell(), pool_size=1)
    try:
        async with database.read() as session:
            return (await feed_head(session)).feed_id
    finally:
        await database.close()


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Opens all services. Deliveries that were accepted are recorded before the database closes."""
    keep = Keep(timedelta(hours=settings.feed_hours), settings.feed_changes)
    async with (
        identity_provider(settings) or nullcontext() as provider,
        open_database(settings) as (database, bell),
        LiveFeed(database, bell) as feed,
        LiveStreams(database, feed) as streams,
        ChangePages(database, feed) as pages,
        OpenConnections(
            feed, viewers := ViewerLookups(database, national_body_of(settings))
        ) as connections,
        open_portals(settings, utc_now) as portals,
        RetryWorker(database, feed, utc_now, portals),
        poll_portals(settings, database, utc_now),
        Retention(database, keep, utc_now),
        BodyRetention(database, kept_bodies(settings), utc_now) as body_retention,
        Refusals(database, utc_now) as refusals,
        ConcernKeeper(database, watched(settings, database), utc_now) as concerns,
        open_alerts(settings, database, feed, concerns, utc_now),
        Intake(partial(record_deliveries, database), at_once=database.writes_at_once) as intake,
    ):
        _tune_garbage_collector()
        authenticator = authenticator_of(settings, provider, partial(_member, database))
        yield Services(
            database,
            feed,
            streams,
            pages,
            intake,
            refusals,
            connections,
            authenticator,
            concerns,
            viewers,
            body_retention,
            configured_sources(settings),
        )


async def _member(database: Database, portal_id: PortalId) -> MemberRow | None:
    """Returns the member of this id. Reads no roles, so no lock on them holds up an operator."""
    async with database.read() as session:
        return await member_by_portal_id(session, OPERATOR.sight, portal_id)


def national_body_of(settings: Settings) -> NationalBody:
    named = None if settings.national_body is None else PortalId(settings.national_body)
    return NationalBody(named, guessed=settings.env == "development")


def watched(settings: Settings, database: Database) -> Watched:
    """Returns what is looked after, as the settings say."""
    return Watched(
        [source.name for source in configured_sources(settings)],
        timedelta(hours=settings.longest_silence_hours),
        national_body_of(settings),
        partial(storage_fault, settings, database),
    )


def kept_bodies(settings: Settings) -> KeptBodies:
    return KeptBodies(timedelta(days=settings.body_days))


def _tune_garbage_collector() -> None:
    """Makes full garbage collections rare and short. An optimisation: the defaults work as well.

    With thousands of sockets a full collection stops the process for tenths of a second. Objects
    made at the start live for ever and are not looked at again. Full collections must still happen:
    what refers to itself is freed by nothing else.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 5, 5)
