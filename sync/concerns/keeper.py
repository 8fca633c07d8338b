"""Keeps the list of concerns: asks for it, remembers it, and acknowledges what is on it."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from db.database import Database
from db.errors import ConcurrentWriteError, DatabaseError, DatabaseUnavailableError
from db.queries.log.audit_trail import Act, record_act
from db.queries.log.concern_entries import KINDS_OF_ENTRIES, ConcernEntries
from db.queries.log.concern_records import (
    Acknowledgement,
    ConcernKey,
    forget_concerns,
    remember_concerns,
    remembered_concerns,
    save_acknowledgement,
)
from db.queries.members.register_faults import shared_numbers
from db.sessions import ReadSession
from db.vocabulary import AuditAction
from sync.concerns.rounds import ConcernRounds
from sync.concerns.standing import PASSING, StandingConcern, standing
from sync.concerns.survey import Watched, entries_of, survey

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 15.0
MOST_TRIES = 5
SHARED_LAST = timedelta(minutes=1)
"""How long the count of shared member numbers is used again: all members are read for it."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What a look has found to be new, and what of the remembered to be over."""

    now: datetime
    new: list[ConcernKey]
    over: list[ConcernKey]


class ConcernKeeper(ConcernRounds):
    """Answers which concerns stand. Inside `async with` a task remembers since when they do, so
    that all processes on a database say the same."""

    _task_name = "concerns"

    def __init__(
        self,
        database: Database,
        watched: Watched,
        clock: Callable[[], datetime],
        *,
        pause: float = PAUSE_SECONDS,
    ) -> None:
        self._database = database
        self._watched = watched
        self._clock = clock
        self._pause = pause
        self._shared: tuple[datetime, int] | None = None
        self.last: list[StandingConcern] = []
        """The concerns that stood when somebody looked last."""

    async def standing(self) -> list[StandingConcern]:
        """Returns the concerns that stand now, the most urgent first.

        New ones are remembered at once, so that all who ask are told the same time of beginning;
        while nothing can be written, they are told with the time of asking.
        """
        found = await self._find(self._clock())
        if found.new:
            with suppress(DatabaseError):
                async with self._database.write() as session:
                    await remember_concerns(session, found.new, found.now)
        return self.last

    async def entries(self, key: ConcernKey) -> ConcernEntries | None:
        """Returns which log entries a concern is about; None if it is about none."""
        if key.kind not in KINDS_OF_ENTRIES:
            return None
        async with self._database.read() as session:
            return entries_of(key, await remembered_concerns(session), self._clock())

    async def acknowledge(self, concern: StandingConcern, actor: str, reason: str | None) -> None:
        """Takes a concern on, and records who did."""
        now = self._clock()
        where = f" of {concern.source}" if concern.source else ""
        detail = f"{concern.kind}{where}" + (f": {reason}" if reason else "")
        given = Acknowledgement(now, actor, concern.count)
        for _ in range(MOST_TRIES):
            try:
                async with self._database.write() as session:
                    await save_acknowledgement(session, concern.key, concern.since or now, given)
                    act = Act(actor, AuditAction.CONCERN_ACKNOWLEDGED, detail=detail)
                    await record_act(session, act, now)
            except ConcurrentWriteError:
                continue  # Another process remembers the concern at the same moment.
            return
        raise DatabaseUnavailableError("Other processes keep writing the same rows.")

    async def look(self) -> None:
        """Remembers what stands now, and forgets what is over."""
        found = await self._find(self._clock())
        if found.new or found.over:
            async with self._database.write() as session:
                await remember_concerns(session, found.new, found.now)
                await forget_concerns(session, found.over)

    async def _find(self, now: datetime) -> "_Found":
        async with self._database.read() as session:
            remembered = await remembered_concerns(session)
            shared = await self._shared_at(session, now)
            noticed = await survey(session, self._watched, shared, remembered, now)
        self.last = standing(noticed, remembered, now)
        keys = {it.key for it in noticed}
        over = [
            key
            for key, known in remembered.items()
            if key not in keys and not (key.kind in PASSING and known.acknowledgement)
        ]
        return _Found(now, [key for key in keys if key not in remembered], over)

    async def _shared_at(self, session: ReadSession, now: datetime) -> int:
        if self._shared is None or now - self._shared[0] >= SHARED_LAST:
            self._shared = now, await shared_numbers(session)
        return self._shared[1]
