"""A late event reads the history of its member again, however long that is, in bounded memory."""

import tracemalloc

from sqlalchemy import func, insert, select, text

from db.database import Database
from db.queries.log import entries
from db.tables.models import RoleAssignment, SyncLogEntry
from sync.recording.record import record_deliveries
from tests.support.builders import created, role, role_updated
from tests.sync.recorded_events import delivery

BODY = 500_000
MANY = 80


async def grow_history(database: Database) -> None:
    """Makes copies of the recorded entry, each as large as a sender may make it."""
    columns = [column for column in SyncLogEntry.__table__.columns if column.key != "id"]
    async with database.write() as session:
        (row,) = await session.all(select(*columns))
        padded = row.payload[:-1] + b', "more": "' + b"x" * BODY + b'"}'
        for number in range(MANY):
            copy = {**row._asdict(), "event_id": f"copy_{number}", "payload": padded}
            await session.run(insert(SyncLogEntry).values(copy))
        if not session.on_sqlite:
            await session.run(text("SELECT setval('sync_log_id_seq', 10000)"))


async def test_memory_does_not_grow_with_the_history(database: Database) -> None:
    await record_deliveries(database, [delivery(created("Kari", 10), "evt_1")])
    await grow_history(database)
    late = role_updated("Kari", 5, roles=[role("coordinator")])

    tracemalloc.start()
    try:
        await record_deliveries(database, [delivery(late, "evt_2")])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    # Twice: the driver has the rows of one group while the next one is read.
    assert peak < 2.5 * entries.BODIES_AT_ONCE * BODY
    assert peak < MANY * BODY / 2


async def test_every_body_of_a_long_history_counts(database: Database) -> None:
    events = [created("Kari", 0, roles=[role("member")])]
    events += [role_updated("Kari", n, roles=[role("member")]) for n in range(10, 60)]
    events.append(role_updated("Kari", 5, roles=[]))

    for number, event in enumerate(events):
        await record_deliveries(database, [delivery(event, f"evt_{number:02}")])

    async with database.read() as session:
        (since,) = (await session.all(select(RoleAssignment.since)))[0]
        (first,) = (
            await session.all(
                select(func.min(SyncLogEntry.occurred_at)).where(SyncLogEntry.event_id == "evt_01")
            )
        )[0]
    assert since == first
