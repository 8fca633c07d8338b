"""Watches whether commits succeed: with a full disk, a database can be read but not written."""

import logging
from collections.abc import Callable
from time import monotonic

logger = logging.getLogger(__name__)

FAILURES = 3
"""So many failures in a row are no coincidence."""
LASTS_SECONDS = 10.0
"""How long a failure counts if no further commit is tried, as when all senders are kept away."""


class CommitHealth:
    """Counts failures in a row, and logs where they begin and end."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._last_failure = 0.0

    @property
    def failing(self) -> bool:
        is_recent = self._clock() - self._last_failure < LASTS_SECONDS
        return self._failures >= FAILURES and is_recent

    def failed(self, error: Exception) -> None:
        self._failures += 1
        self._last_failure = self._clock()
        if self._failures == FAILURES:
            logger.warning("%d commits in a row have failed: %s", FAILURES, error)

    def succeeded(self) -> None:
        if self._failures >= FAILURES:
            logger.info("Commits succeed again.")
        self._failures = 0
