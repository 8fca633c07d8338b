"""Concerns that people were told of, which process tells them, and that writing works."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import insert, select, update

from db.sessions import WriteSession
from db.tables.facts import ToldConcern
from db.tables.models import AlertState

_ONLY_ROW = 1


async def lease_alerts(
    session: WriteSession, now: datetime, until: datetime
) -> dict[str, ToldConcern] | None:
    """Takes the lease and returns what was told, or returns None if another process has it.

    ConcurrentWriteError means that another process took the first lease of all at this moment.
    """
    taken = await session.run(
        update(AlertState)
        .where(AlertState.id == _ONLY_ROW, AlertState.leased_until <= now)
        .values(leased_until=until)
    )
    row = await session.first(select(AlertState.told).where(AlertState.id == _ONLY_ROW))
    if row is None:
        await session.run(insert(AlertState).values(_first_row(leased_until=until, now=now)))
        return {}
    return dict(row.told) if taken.rowcount else None


async def save_told(session: WriteSession, told: Mapping[str, ToldConcern], now: datetime) -> None:
    """Remembers what was told, and gives the lease back."""
    await session.run(
        update(AlertState)
        .where(AlertState.id == _ONLY_ROW)
        .values(told=dict(told), leased_until=now)
    )


async def prove_writing(session: WriteSession, now: datetime) -> None:
    """Writes a row. ConcurrentWriteError, too, means that writing works."""
    written = await session.run(
        update(AlertState).where(AlertState.id == _ONLY_ROW).values(written_at=now)
    )
    if not written.rowcount:
        await session.run(insert(AlertState).values(_first_row(leased_until=now, now=now)))


def _first_row(*, leased_until: datetime, now: datetime) -> dict[str, object]:
    return {"id": _ONLY_ROW, "leased_until": leased_until, "told": {}, "written_at": now}
