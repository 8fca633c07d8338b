"""Asks a portal regularly what has changed, and reads it whole now and then.

So what no webhook has told is found. One process at a time reads a portal. What was read is
remembered only after it was applied, so a reading that is cut short is done again.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from db.background_task import BackgroundTask
from db.database import Database
from db.errors import DatabaseUnavailableError
from db.queries.portal_states import PortalState, save_portal_state
from db.vocabulary import PortalId, ReconciliationKind
from sync.errors import ChangesUnknownError, SourceUnreadableError
from sync.reconcile.copies import copied
from sync.reconcile.guard import Guard
from sync.reconcile.leases import leased
from sync.reconcile.runs import Options, Report, Request, reconcile, recorded_run

logger = logging.getLogger(__name__)

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
    """How often a portal is asked for changes and read whole. `automatic`: also for the first time,
    which a person starts otherwise."""

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
            await asyncio.sleep(seconds)

    async def poll(self) -> None:
        """Reads what has changed, or everything when that is due, unless another process does.

        Raises SourceUnreadableError or DatabaseUnavailableError.
        """
        async with leased(self._database, self._source, self._clock) as state:
            if state is None or (state.full_at is None and not self._schedule.automatic):
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

    async def _read_whole(self, state: PortalState) -> None:
        started_at = self._clock()
        # Before the rows are read: what changes meanwhile is told by the links as well.
        links = state.delta_links or await self._portal.begin_tracking()
        told = state.full_at is not None
        await self._compare(self._portal.members(), Options(), FULL, told=told)
        await self._remember(PortalState(started_at, links))

    async def _read_changes(self, state: PortalState) -> None:
        changed, links = await self._portal.changed_members(state.delta_links)
        if len(changed) > MOST_SINGLE_ROWS:
            raise ChangesUnknownError("Too many rows have changed to read each of them.")
        if changed:
            rows = self._rows(sorted(changed))
            await self._compare(rows, Options(complete=False), DELTA, told=True)
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
            recorded_run(self._database, self._source, kind, self._clock) as run,
            copied(members) as lines,
        ):
            at = self._clock()
            request = Request(self._source, lines, "the portal", at, options, kind, run, told)
            report = await reconcile(self._database, request, self._guard, self._clock)
        if report.held:
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
