"""Outages of a broker: logged at their beginning and end, with pauses between the attempts."""

import asyncio
import logging
import random
from collections.abc import Iterator

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0
PATIENCE = 3.0
"""The seconds after which a broker that has not answered counts as unreachable."""


class Outage:
    """The outages of one broker."""

    def __init__(self, what: str, log: logging.Logger, level: int) -> None:
        self._what = what
        self._log = log
        self._level = level
        self._pauses: Iterator[float] | None = None

    async def pause(self, error: BaseException) -> None:
        """Logs an outage that begins, and returns when it is time for the next attempt."""
        if self._pauses is None:
            self._log.log(self._level, "%s is unreachable; trying again: %r", self._what, error)
            self._pauses = _pauses()
        await asyncio.sleep(next(self._pauses))

    def over(self) -> None:
        if self._pauses is not None:
            self._pauses = None
            self._log.log(self._level, "%s is reachable again", self._what)


def _pauses() -> Iterator[float]:
    """Yields pauses that double up to LONGEST_PAUSE, jittered so that processes do not all come
    back at once."""
    pause = FIRST_PAUSE
    while True:
        yield pause * random.uniform(0.5, 1)  # noqa: S311 - no secret
        pause = min(pause * 2, LONGEST_PAUSE)
