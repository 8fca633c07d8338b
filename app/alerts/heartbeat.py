"""Tells a watchman elsewhere that all is well, so that silence is noticed when we are gone."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

import httpx

from db.background_task import BackgroundTask
from db.database import Database
from db.errors import ConcurrentWriteError, DatabaseError
from db.feed.change_feed import LiveFeed
from db.queries.log.told_concerns import prove_writing

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 60.0
ANSWER_SECONDS = 10.0


class WatchmanPing(BackgroundTask):
    """A task that asks for a URL once a minute while the change feed is read and the database takes
    writes; it runs inside `async with`."""

    _task_name = "heartbeat"

    def __init__(
        self,
        url: str,
        database: Database,
        feed: LiveFeed,
        clock: Callable[[], datetime],
        *,
        pause: float = PAUSE_SECONDS,
    ) -> None:
        self._url = url
        self._database = database
        self._feed = feed
        self._clock = clock
        self._pause = pause

    async def _run(self) -> None:
        async with httpx.AsyncClient(timeout=ANSWER_SECONDS) as http:
            while True:
                if await self.is_well():
                    await self._ping(http)
                await asyncio.sleep(self._pause)

    async def is_well(self) -> bool:
        """Returns True if the feed is read and a row could be written just now."""
        if not self._feed.alive:
            return False
        try:
            async with self._database.write() as session:
                await prove_writing(session, self._clock())
        except ConcurrentWriteError:
            return True  # Another process has written the same row.
        except DatabaseError:
            return False
        return True

    async def _ping(self, http: httpx.AsyncClient) -> None:
        try:
            (await http.get(self._url)).raise_for_status()
        except httpx.HTTPError as error:
            # The URL is not shown: whoever has it can ping in our name.
            logger.warning("The heartbeat was not taken: %s", type(error).__name__)
