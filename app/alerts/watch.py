"""Watches the concerns and tells of those that begin, last and end, each once."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from app.alerts.alert_messages import AlertMessage, News, message_of, told_key
from app.alerts.quiet_hours import QuietHours
from db.database import Database
from db.queries.log.told_concerns import lease_alerts, save_told
from db.tables.facts import ToldConcern
from db.vocabulary import ConcernState
from sync.concerns.rounds import ConcernRounds
from sync.concerns.standing import StandingConcern

logger = logging.getLogger(__name__)

ROUND_SECONDS = 30.0
LEASE = timedelta(minutes=2)
"""Longer than sending takes. A process that dies meanwhile leaves the next round to another."""
REMINDER = timedelta(days=1)
SETTLED = timedelta(minutes=10)
"""How long a concern must be gone to count as over, so that one that flickers is told once."""

ReadConcerns = Callable[[], Awaitable[Sequence[StandingConcern]]]


class SendsMessages(Protocol):
    async def send(self, message: AlertMessage) -> int:
        """Returns how many took it."""
        ...


def compare(
    standing: Sequence[StandingConcern], told: Mapping[str, ToldConcern], now: datetime
) -> tuple[News, dict[str, ToldConcern]]:
    """Returns what is to be told now, and what will then have been told."""
    by_key = {told_key(concern): concern for concern in standing}
    begun, lasting, over = [], [], []
    after: dict[str, ToldConcern] = {}
    for key, concern in by_key.items():
        before = told.get(key)
        if concern.state is ConcernState.ACKNOWLEDGED:
            # Somebody has taken it on: nobody is told again, and it is not over.
            if before is not None:
                after[key] = ToldConcern(before.told_at)
        elif before is None:
            begun.append(concern)
            after[key] = ToldConcern(now)
        elif now - before.told_at >= REMINDER:
            lasting.append(concern)
            after[key] = ToldConcern(now)
        else:
            after[key] = ToldConcern(before.told_at)
    for key, before in told.items():
        if key in by_key:
            continue
        missing_since = before.missing_since or now
        if now - missing_since >= SETTLED:
            over.append(key)
        else:
            after[key] = ToldConcern(before.told_at, missing_since)
    return News(tuple(begun), tuple(lasting), tuple(over)), after


class AlertWatch(ConcernRounds):
    """A task that looks every half minute; it runs inside `async with`. Of several processes on one
    database, one tells."""

    _task_name = "alerts"

    def __init__(
        self,
        database: Database,
        read_concerns: ReadConcerns,
        destinations: SendsMessages,
        clock: Callable[[], datetime],
        *,
        quiet: QuietHours | None = None,
        link: str | None = None,
        pause: float = ROUND_SECONDS,
    ) -> None:
        self._database = database
        self._read_concerns = read_concerns
        self._destinations = destinations
        self._clock = clock
        self._quiet = quiet
        self._link = link
        self._pause = pause

    async def look(self) -> None:
        """Looks once. What nobody took is told in the next round."""
        now = self._clock()
        if self._quiet is not None and self._quiet.hold(now):
            return
        async with self._database.write() as session:
            told = await lease_alerts(session, now, now + LEASE)
        if told is None:
            return
        after = told
        try:
            news, then_told = compare(await self._read_concerns(), told, now)
            if not news or await self._destinations.send(message_of(news, self._link)):
                after = then_told
        finally:
            async with self._database.write() as session:
                await save_told(session, after, self._clock())
