"""Runs that compared a source, written as the reconciliation writes them."""

from collections.abc import Sequence
from datetime import UTC, datetime

from db.database import Database
from db.queries.runs.reconciliations import (
    Drift,
    Held,
    RunCounts,
    add_drift,
    begin_run,
    end_run,
    hold,
)
from db.vocabulary import DriftAction, PortalId, ReconciliationKind
from tests.support.builders import guid
from tests.support.opened import opened


async def compared_with_a_file(database_url: str, *held: str, source: str = "portal") -> int:
    """Records a run of the source that holds back the memberships of these members, and
    has changed the telephone number of the first one. Returns its id."""
    async with opened(database_url) as database:
        return await compared_in(database, source, [PortalId(guid(name)) for name in held])


async def compared_in(database: Database, source: str, held: Sequence[PortalId]) -> int:
    now = datetime.now(UTC)
    drift = [Drift(held[0], "phone", "+4790000001", "+4790000000", DriftAction.APPLIED)]
    drift += [Drift(id, "state", "INACTIVE", "ACTIVE", DriftAction.HELD) for id in held]
    async with database.write() as session:
        run = await begin_run(session, source, ReconciliationKind.FILE, now)
        await add_drift(session, run, drift)
        await hold(
            session, [Held(id, "state", "INACTIVE", now, now, False, source, run) for id in held]
        )
        counts = RunCounts(compared=40, updated=1, missing=len(held), missed=1, held=len(held))
        await end_run(session, run, counts, now)
    return run
