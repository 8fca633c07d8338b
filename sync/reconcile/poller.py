"""Asks a portal regularly what has changed, and reads it whole now and then.

So what no webhook has told is found. One process at a time reads a portal. What was read is
remembered only after it was applied, so a reading that is cut short is done again.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from db.background_task import BackgroundTask
from db.database import Database
from db.errors import DatabaseUnavailableError
from db.queries.runs.portal_states import PortalState, save_portal_state
from db.queries.runs.reconciliation_requests import Requested, end_request, requests_of
from db.vocabulary import PortalId, ReconciliationKind
from sync.errors import ChangesUnknownError, SourceUnreadableError
from sync.reconcile.copies import copied
from sync.reconcile.guard import Guard
from sync.reconcile.leases import leased
from sync.reconcile.runs import Options, Report, Request, reconcile, recorded_run

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often the database is asked whether somebody wants a comparison now."""
LONGEST_PAUSE_SECONDS = 60.0
"""After an error, until the portal is asked again."""
MOST_SINGLE_ROWS = 200
"""When more members have changed, all are read: that takes fewer requests."""
AT_ONCE = 8
DELTA, FULL = ReconciliationKind.DELTA, ReconciliationKind.FULL


class TrackedPortal(Protocol):
    """All of them raise SourceUnreadableError."""

    async def member(self, id: PortalId) -> bytes: ...

    def members(self) -> AsyncIterator[bytes]: ...

    async def begin_tracking(self) -> dict[str, str]: ...

    async def changed_members(
        self, links: dict[str, str]
    ) -> tuple[set[PortalId], dict[str, str]]: ...


@dataclass(frozen=True, slots=True)
class Schedule:
    """The intervals at which a portal is asked for changes and read whole. With `automatic` the
    first full run begins by itself; otherwise a person starts it."""

    poll: timedelta
    full: timedelta
    automatic: bool = True


async def remember_first_reading(
    database: Database, source: str, state: PortalState, at: datetime
) -> None:
    """Remembers that a person has had the portal read whole, so that it is polled from now on.

    `state` is that of the lease under which it was read.
    """
    if state.full_at is None:
        async with database.write() as session:
            await save_portal_state(session, source, PortalState(full_at=at))


class PortalPoller(BackgroundTask):
    """Runs as a task while its async context is open. Leaving it ends the reading under way."""

    def __init__(
        self,
        database: Database,
        source: str,
        portal: TrackedPortal,
        schedule: Schedule,
        guard: Guard,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._source = source
        self._portal = portal
        self._schedule = schedule
        self._guard = guard
        self._clock = clock
        self._task_name = f"poller of {source}"

    async def _run(self) -> None:
        while True:
            seconds = self._schedule.poll.total_seconds()
            try:
                await self.poll()
            except (SourceUnreadableError, DatabaseUnavailableError) as error:
                logger.warning("The portal of %s could not be compared: %s", self._source, error)
                seconds = min(seconds, LONGEST_PAUSE_SECONDS)
            except Exception:
                # The poller goes on whatever happens.
                logger.exception("The poller of %s met an unexpected error.", self._source)
            await self._pause(seconds)

    async def _pause(self, seconds: float) -> None:
        """Waits so long, or until somebody asks for a comparison."""
        while seconds > 0:
            step = min(seconds, LOOK_SECONDS)
            await asyncio.sleep(step)
            seconds -= step
            with suppress(DatabaseUnavailableError):
                if await self._requested() is not None:
                    return

    async def _requested(self) -> Requested | None:
        async with self._database.read() as session:
            return (await requests_of(session, [self._source])).get(self._source)

    async def poll(self) -> None:
        """Reads what has changed, or everything when that is due or somebody asks for it, unless
        another process does.

        Raises SourceUnreadableError or DatabaseUnavailableError.
        """
        async with leased(self._database, self._source, self._clock) as state:
            if state is None:
                return
            request = await self._requested()
            if request is not None:
                await self._answer(request, state)
                return
            if state.full_at is None and not self._schedule.automatic:
                return
            full_at = state.full_at
            due = full_at is None or self._clock() - full_at >= self._schedule.full
            if due or not state.delta_links:
                await self._read_whole(state)
                return
            try:
                await self._read_changes(state)
            except ChangesUnknownError:
                await self._read_whole(replace(state, delta_links={}))

    async def _answer(self, request: Requested, state: PortalState) -> None:
        """Does what is asked for. It is over when it has failed, too: the run says so. If this
        process ends meanwhile, another one does it."""
        knows_changes = state.full_at is not None and state.delta_links
        kind = DELTA if knows_changes and not request.whole else FULL
        try:
            if kind is DELTA:
                try:
                    await self._read_changes(state, request)
                except ChangesUnknownError:
                    kind = FULL
                    await self._read_whole(replace(state, delta_links={}), request)
            else:
                await self._read_whole(state, request)
        except DatabaseUnavailableError:
            raise
        except Exception as error:
            await self._record_failure(kind, error, dry_run=request.dry_run)
            await self._end(request)
            raise
        await self._end(request)

    async def _record_failure(
        self, kind: ReconciliationKind, error: Exception, *, dry_run: bool
    ) -> None:
        """Leaves a run that has failed, for who asked for it. One that did so before this is the
        same."""
        with suppress(type(error)):
            async with recorded_run(
                self._database, self._source, kind, self._clock, dry_run=dry_run
            ):
                raise error

    async def _end(self, request: Requested) -> None:
        async with self._database.write() as session:
            await end_request(session, request)

    async def _read_whole(self, state: PortalState, request: Requested | None = None) -> None:
        started_at = self._clock()
        if request is not None and request.dry_run:
            await self._compare(self._portal.members(), Options(dry_run=True), FULL, told=False)
            return
        # Before the rows are read: what changes meanwhile is told by the links as well.
        links = state.delta_links or await self._portal.begin_tracking()
        told = state.full_at is not None
        await self._compare(self._portal.members(), Options(), FULL, told=told)
        await self._remember(PortalState(started_at, links))

    async def _read_changes(self, state: PortalState, request: Requested | None = None) -> None:
        changed, links = await self._portal.changed_members(state.delta_links)
        if len(changed) > MOST_SINGLE_ROWS:
            raise ChangesUnknownError("Too many rows have changed to read each of them.")
        dry_run = request is not None and request.dry_run
        if changed or request is not None:
            rows = self._rows(sorted(changed))
            options = Options(complete=False, dry_run=dry_run)
            await self._compare(rows, options, DELTA, told=True)
        if not dry_run:
            await self._remember(replace(state, delta_links=links))

    async def _rows(self, ids: Collection[PortalId]) -> AsyncIterator[bytes]:
        ordered = list(ids)
        for start in range(0, len(ordered), AT_ONCE):
            chunk = ordered[start : start + AT_ONCE]
            for body in await asyncio.gather(*map(self._portal.member, chunk)):
                yield body

    async def _compare(
        self,
        members: AsyncIterator[bytes],
        options: Options,
        kind: ReconciliationKind,
        *,
        told: bool,
    ) -> Report:
        async with (
            recorded_run(
                self._database, self._source, kind, self._clock, dry_run=options.dry_run
            ) as run,
            copied(members) as lines,
        ):
            at = self._clock()
            request = Request(self._source, lines, "the portal", at, options, kind, run, told)
            report = await reconcile(self._database, request, self._guard, self._clock)
        if report.held and not options.dry_run:
            logger.error(
                "The deletion guard holds %d removals of %s: %s. `reconcile %s --held` shows them.",
                len(report.held),
                self._source,
                report.held_because,
                self._source,
            )
        return report

    async def _remember(self, state: PortalState) -> None:
        async with self._database.write() as session:
            await save_portal_state(session, self._source, state)
