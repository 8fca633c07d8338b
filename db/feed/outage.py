"""Outages of a broker: said twice each, at the beginning and the end, and paced in between."""

import asyncio
import logging
import random
from collections.abc import Iterator

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0
PATIENCE = 3.0
"""Seconds after which a broker that has not answered counts as away."""


class Outage:
    """A stretch of time without the broker."""

    def __init__(self, what: str, log: logging.Logger, level: int) -> None:
        self._what = what
        self._log = log
        self._level = level
        self._pauses: Iterator[float] | None = None

    async def pause(self, error: BaseException) -> None:
        """The outage begins or goes on; returns when it is time for the next attempt."""
        if self._pauses is None:
            self._log.log(self._level, "%s is away, will keep trying: %r", self._what, error)
            self._pauses = _pauses()
        await asyncio.sleep(next(self._pauses))

    def over(self) -> None:
        if self._pauses is not None:
            self._pauses = None
            self._log.log(self._level, "%s is back", self._what)


def _pauses() -> Iterator[float]:
    """Doubling up to a bound, jittered so that a fleet does not come back in step."""
    pause = FIRST_PAUSE
    while True:
        yield pause * random.uniform(0.5, 1)  # noqa: S311 - no secret
        pause = min(pause * 2, LONGEST_PAUSE)
