"""The lease of a source: whoever compares it with what is known does so alone.

It is renewed while it is held, and ends by itself half a minute after its process did.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from time import monotonic

from db.database import Database
from db.errors import ConcurrentWriteError
from db.queries.runs.portal_states import PortalState, extend_lease, lease_portal

LEASE = timedelta(seconds=30)
RENEWAL_SECONDS = 10.0
RETRY_SECONDS = 0.5


@asynccontextmanager
async def leased(
    database: Database, source: str, clock: Callable[[], datetime], *, patience: float = 0.0
) -> AsyncIterator[PortalState | None]:
    """Yields how far the source was read, or None if another process has the lease for longer than
    `patience`, in seconds.

    Raises DatabaseUnavailableError.
    """
    until = monotonic() + patience
    while True:
        state = await _take(database, source, clock())
        if state is not None or monotonic() >= until:
            break
        await asyncio.sleep(RETRY_SECONDS)
    if state is None:
        yield None
        return
    renewal = asyncio.create_task(_renew(database, source, clock))
    try:
        yield state
    finally:
        renewal.cancel()
        with suppress(asyncio.CancelledError):
            await renewal
        async with database.write() as session:
            await extend_lease(session, source, clock())


async def _take(database: Database, source: str, now: datetime) -> PortalState | None:
    try:
        async with database.write() as session:
            return await lease_portal(session, source, now, now + LEASE)
    except ConcurrentWriteError:
        return None


async def _renew(database: Database, source: str, clock: Callable[[], datetime]) -> None:
    while True:
        await asyncio.sleep(RENEWAL_SECONDS)
        async with database.write() as session:
            await extend_lease(session, source, clock() + LEASE)
