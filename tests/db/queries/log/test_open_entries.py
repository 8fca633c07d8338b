"""The entries that are not done yet are found by their index, also on SQLite."""

import pytest
from sqlalchemy import create_engine, select, text

from db.queries.log.entries import has_status
from db.tables.models import Base, SyncLogEntry
from db.vocabulary import SyncStatus


def plan_for(*statuses: SyncStatus) -> str:
    """Returns how SQLite reads the newest entries with one of these statuses."""
    engine = create_engine("sqlite://")
    page = (
        select(SyncLogEntry.id)
        .where(has_status(statuses))
        .order_by(SyncLogEntry.id.desc())
        .limit(50)
    )
    statement = page.compile(engine, compile_kwargs={"literal_binds": True})
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        rows = connection.execute(text(f"EXPLAIN QUERY PLAN {statement}")).all()
    engine.dispose()
    return " ".join(row[3] for row in rows)


@pytest.mark.parametrize("status", ["PENDING", "FAILED", "DEAD", "REJECTED"])
def test_entries_that_are_not_done_are_found_by_their_index(status: str) -> None:
    assert "ix_sync_log_open" in plan_for(SyncStatus[status])


def test_waiting_entries_are_found_by_their_index() -> None:
    assert "ix_sync_log_open" in plan_for(SyncStatus.PENDING, SyncStatus.FAILED)


def test_entries_that_are_done_have_no_index_of_their_own() -> None:
    assert "ix_sync_log_open" not in plan_for(SyncStatus.SUCCESS)
    assert "ix_sync_log_open" not in plan_for(SyncStatus.FAILED, SyncStatus.SUCCESS)
