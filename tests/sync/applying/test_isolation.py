"""One bad event never spoils its neighbours, whether its handler or the database refuses it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from db.database import Database
from db.queries.log.entries import EntryFilter
from db.vocabulary import SyncOutcome, SyncStatus
from sync.events import EventType
from sync.recording.record import record_deliveries
from sync.recording.worker import retry_due
from tests.faults.handlers import failing_handler
from tests.support.builders import (
    EPOCH,
    created,
    deactivated,
    guid,
    organization,
    reactivated,
    role,
    role_updated,
    updated,
)
from tests.support.service import DEADLINE, Service
from tests.sync.recorded_events import delivery, entries, entry, record, world_of

NOW = datetime.now(UTC)

STATUSES = """query($status: [SyncStatus!]) { syncLog(filter: {status: $status}) {
    edges { node { eventId attempts nextAttemptAt processedAt detail member { id } } } } }"""


async def refuse_to_write(database: Database, member: str, operation: str) -> None:
    """From now on the database raises an error when this member is inserted, or updated."""
    name = f"refuse_{operation.lower()}"
    async with database.write() as session:
        if session.on_sqlite:
            await session.run(
                text(
                    f"CREATE TRIGGER {name} BEFORE {operation} ON members"
                    f" WHEN NEW.portal_id = '{guid(member)}'"
                    " BEGIN SELECT RAISE(ABORT, 'a secret of the row'); END"
                )
            )
            return
        await session.run(
            text(
                f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql"
                " AS $$ BEGIN RAISE EXCEPTION 'a secret of the row'; END $$"
            )
        )
        await session.run(
            text(
                f"CREATE TRIGGER {name} BEFORE {operation} ON members FOR EACH ROW"
                f" WHEN (NEW.portal_id = '{guid(member)}') EXECUTE FUNCTION {name}()"
            )
        )


async def test_handler_that_fails_is_answered_202_and_leaves_a_failed_entry(
    service: Service,
) -> None:
    with failing_handler(EventType.ROLE_UPDATED):
        response = await service.deliver(role_updated("Kari", roles=[role("member")]), "evt_1")

        assert response.status_code == 202
        assert response.json()["status"] == "failed"
        assert response.json()["outcome"] is None
        log = await service.data(STATUSES, status=["FAILED"])
    (edge,) = log["syncLog"]["edges"]
    assert edge["node"]["eventId"] == "evt_1"
    assert edge["node"]["attempts"] >= 1
    assert edge["node"]["nextAttemptAt"] is not None
    assert edge["node"]["processedAt"] is None
    assert edge["node"]["member"] is None


async def test_what_a_handler_did_before_it_failed_is_not_kept(database: Database) -> None:
    await record(database, created("Kari"), "evt_1")
    before = await world_of(database)

    with failing_handler(EventType.MEMBERSHIP_DEACTIVATED):
        failing = delivery(deactivated("Kari"), "evt_2", received_at=NOW)
        (receipt,) = await record_deliveries(database, [failing])

    assert receipt.status is SyncStatus.FAILED
    assert await world_of(database) == before


async def test_neighbours_of_a_handler_that_fails_are_applied(database: Database) -> None:
    with failing_handler(EventType.ROLE_UPDATED):
        receipts = await record_deliveries(
            database,
            [
                delivery(created("Kari"), "evt_1", received_at=NOW),
                delivery(
                    role_updated("Kari", 1, roles=[role("coordinator")]), "evt_2", received_at=NOW
                ),
                delivery(updated("Kari", 2, profile={"phone": "1"}), "evt_3", received_at=NOW),
                delivery(created("Ola"), "evt_4", received_at=NOW),
            ],
        )

    assert [receipt.status for receipt in receipts] == [
        SyncStatus.SUCCESS,
        SyncStatus.FAILED,
        SyncStatus.SUCCESS,
        SyncStatus.SUCCESS,
    ]
    world = await world_of(database)
    assert world.person("Kari").profile["phone"] == "1"
    assert {code for code, _, _ in world.person("Kari").roles} == {"member"}
    assert world.person("Ola").home == guid("HLF Oslo")
    failed = await entry(database, "evt_2")
    assert failed.next_attempt_at is not None
    assert failed.attempts == 1

    await retry_due(database, lambda: datetime.now(UTC) + timedelta(minutes=5))

    world = await world_of(database)
    assert {code for code, _, _ in world.person("Kari").roles} == {"coordinator"}


async def test_deliveries_that_arrive_together_do_not_share_a_failure(service: Service) -> None:
    with failing_handler(EventType.MEMBERSHIP_REACTIVATED):
        async with asyncio.timeout(DEADLINE):
            responses = await asyncio.gather(
                *(
                    service.deliver(reactivated(f"M{n}") if n % 5 == 0 else created(f"M{n}"))
                    for n in range(20)
                )
            )

    codes = [response.status_code for response in responses]
    assert codes == [202 if n % 5 == 0 else 200 for n in range(20)]


@pytest.mark.parametrize("operation", ["INSERT", "UPDATE"])
async def test_refusal_by_the_database_fails_only_the_event_it_is_about(
    database: Database, operation: str
) -> None:
    if operation == "UPDATE":
        await record(database, created("Ola"), "evt_0")
    await refuse_to_write(database, "Ola", operation)

    receipts = await record_deliveries(
        database,
        [
            delivery(created("Kari"), "evt_1", received_at=NOW),
            delivery(updated("Ola", 1, profile={"phone": "1"}), "evt_2", received_at=NOW),
            delivery(
                created("Åse", organization=organization("HLF Bodø")), "evt_3", received_at=NOW
            ),
        ],
    )

    assert [receipt.outcome for receipt in receipts] == [
        SyncOutcome.CREATED,
        None,
        SyncOutcome.CREATED,
    ]
    assert receipts[1].status is SyncStatus.FAILED
    assert "secret" not in (receipts[1].detail or ""), "internals"
    world = await world_of(database)
    assert world.person("Åse").home == guid("HLF Bodø")
    ola = world.people.get(guid("Ola"))
    assert ola is None or ola.profile["phone"] is None
    (failed,) = await entries(database, EntryFilter(statuses=frozenset({SyncStatus.FAILED})))
    assert failed.event_id == "evt_2"


async def test_times_are_right_when_the_neighbours_of_a_refused_event_came_out_of_order(
    database: Database,
) -> None:
    """Then they are applied one by one, before any of them is in the log."""
    mentor, coordinator = role("peer-mentor"), role("coordinator")
    await refuse_to_write(database, "Ola", "INSERT")

    await record_deliveries(
        database,
        [
            delivery(
                role_updated("Kari", 3, roles=[mentor, coordinator]), "evt_3", received_at=NOW
            ),
            delivery(role_updated("Kari", 2, roles=[mentor]), "evt_2", received_at=NOW),
            delivery(role_updated("Kari", 1, roles=[mentor]), "evt_1", received_at=NOW),
            delivery(created("Ola"), "evt_4", received_at=NOW),
        ],
    )

    assert (await world_of(database)).person("Kari").roles == {
        ("peer-mentor", None, EPOCH + timedelta(minutes=1)),
        ("coordinator", None, EPOCH + timedelta(minutes=3)),
    }


async def test_of_deliveries_with_one_id_that_come_together_each_other_body_is_a_conflict(
    database: Database,
) -> None:
    first = delivery(created("Kari"), "evt_1", received_at=NOW)
    other = delivery(deactivated("Kari"), "evt_1", received_at=NOW)

    for times in (1, 2):
        receipts = await record_deliveries(database, [first, other, first, other, other])

        assert [receipt.conflict for receipt in receipts] == [False, True, False, True, True]
        assert {receipt.status for receipt in receipts} == {SyncStatus.SUCCESS, SyncStatus.REJECTED}
        conflict, entry = await entries(database)
        assert (entry.event_id, entry.deliveries) == ("evt_1", 2 * times)
        assert (conflict.status, conflict.deliveries) == (SyncStatus.REJECTED, 3 * times)


async def test_every_entry_of_a_batch_names_the_member_the_batch_created(
    database: Database,
) -> None:
    await record_deliveries(
        database,
        [
            delivery(created("Kari", 0), "evt_1", received_at=NOW),
            delivery(updated("Kari", 1, profile={"phone": "1"}), "evt_2", received_at=NOW),
            delivery(deactivated("Kari", 2), "evt_3", received_at=NOW),
        ],
    )

    log = await entries(database)
    assert len(log) == 3
    assert len({entry.member_id for entry in log}) == 1
    assert log[0].member_id is not None
    assert log[0].organization_id is not None
