"""The base of tasks that look at the concerns again and again."""

import asyncio
import logging
from contextlib import suppress

from db.background_task import BackgroundTask
from db.errors import ConcurrentWriteError, DatabaseError

logger = logging.getLogger(__name__)


class ConcernRounds(BackgroundTask):
    """Calls `look` every `_pause` seconds inside `async with`, and goes on whatever it meets."""

    _pause: float

    async def look(self) -> None:
        raise NotImplementedError

    async def _run(self) -> None:
        while True:
            # Another process has done the same.
            with suppress(ConcurrentWriteError):
                try:
                    await self.look()
                except DatabaseError as error:
                    logger.warning("Concerns cannot be looked at now: %s", error)
                except Exception:
                    logger.exception("Looking at the concerns has failed.")
            await asyncio.sleep(self._pause)
