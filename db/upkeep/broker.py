"""Tries the broker of the bell from end to end."""

import asyncio
from uuid import uuid4

from db.errors import DatabaseUnavailableError
from db.feed.bell import backend_for
from db.feed.outage import PATIENCE


async def hear_own_ring(url: str) -> None:
    """Publishes to a channel of its own, and returns when that has come back.

    Raises DatabaseUnavailableError, which does not show the URL, since it may hold a password.
    """
    channel = f"likeperson_sync_check_{uuid4().hex}"
    backend = backend_for(url, channel=channel)
    try:
        async with asyncio.timeout(PATIENCE):
            await backend.connect()
            await backend.subscribe(channel)
            await backend.publish(channel, "1")
            await backend.next_published()
    except Exception as error:
        # Each backend raises the errors of its own driver.
        why = str(error) or f"no answer within {PATIENCE:g} s"
        raise DatabaseUnavailableError(why) from error
    finally:
        await backend.disconnect()
