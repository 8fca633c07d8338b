"""The state of reading each source's portal: how far, and by which process."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import insert, select, update

from db.sessions import WriteSession
from db.tables.models import PortalStateRow


@dataclass(frozen=True, slots=True)
class PortalState:
    """`full_at` is when the last full reading began; `delta_links` tell what changed since."""

    full_at: datetime | None = None
    delta_links: dict[str, str] = field(default_factory=dict)


async def lease_portal(
    session: WriteSession, source: str, now: datetime, until: datetime
) -> PortalState | None:
    """Takes the lease of the portal, or returns None if another process has it.

    ConcurrentWriteError means that another process took the first lease of all at this moment.
    """
    of_source = PortalStateRow.source == source
    row = await session.first(
        select(PortalStateRow.full_at, PortalStateRow.delta_links).where(of_source)
    )
    if row is None:
        values = {"source": source, "leased_until": until, "full_at": None, "delta_links": {}}
        await session.run(insert(PortalStateRow).values(values))
        return PortalState()
    taken = await session.run(
        update(PortalStateRow)
        .where(of_source, PortalStateRow.leased_until <= now)
        .values(leased_until=until)
    )
    return PortalState(row.full_at, dict(row.delta_links)) if taken.rowcount else None


async def extend_lease(session: WriteSession, source: str, until: datetime) -> None:
    """Moves the end of the lease, to the present to give it back."""
    await session.run(
        update(PortalStateRow).where(PortalStateRow.source == source).values(leased_until=until)
    )


async def save_portal_state(session: WriteSession, source: str, state: PortalState) -> None:
    await session.run(
        update(PortalStateRow)
        .where(PortalStateRow.source == source)
        .values(full_at=state.full_at, delta_links=state.delta_links)
    )
