"""The retry schedule: when a failed event is tried again, and when it is given up."""

import random
from datetime import datetime, timedelta

FIRST_DELAYS = (1, 5, 15, 30)
"""Seconds until the second, third, fourth and fifth attempt; later delays double each time."""
LONGEST_DELAY = 3600
JITTER = 0.2
GIVE_UP_AFTER = timedelta(hours=24)


def retry_delay(attempts: int) -> timedelta:
    """Returns the time to wait after this many attempts (at least one), with jitter."""
    if attempts <= len(FIRST_DELAYS):
        seconds = FIRST_DELAYS[attempts - 1]
    else:
        doublings = min(attempts - len(FIRST_DELAYS), 12)
        seconds = min(FIRST_DELAYS[-1] * 2**doublings, LONGEST_DELAY)
    # With jitter, events that failed together do not all come back at the same moment.
    return timedelta(seconds=seconds * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311


def next_attempt(received_at: datetime, attempts: int, now: datetime) -> datetime | None:
    """Returns when a failed event is tried again; None when it is given up."""
    if now - received_at >= GIVE_UP_AFTER:
        return None
    return now + retry_delay(attempts)
