"""Whoever compares a source with what is known does so alone, from the first time on."""

import asyncio

from app.services import utc_now
from db.queries.runs.portal_states import lease_portal
from sync.reconcile.leases import LEASE, leased
from tests.faults.process import until
from tests.support.opened import opened, waiting


async def test_first_lease_of_all_is_given_to_one_of_two_who_ask_at_once(
    database_url: str,
) -> None:
    async def second() -> bool:
        async with opened(database_url) as other, leased(other, "portal", utc_now) as state:
            return state is not None

    async with opened(database_url) as database, database.write() as session:
        now = utc_now()
        first = await lease_portal(session, "portal", now, now + LEASE)
        asking = asyncio.create_task(second())
        if not session.on_sqlite:

            async def waits() -> bool:
                return await waiting(database) == 1

            await until(waits)

    assert first is not None
    assert await asking is False
