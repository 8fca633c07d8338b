"""The audit trail: what is recorded, of whom, and that nobody can change it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from db.queries.keyset import PageRequest
from db.queries.log.audit_trail import Act, audit_page, record_act
from db.vocabulary import AuditAction, EntryId
from tests.support.answers import codes
from tests.support.association import found_association
from tests.support.builders import created, guid
from tests.support.opened import opened as database_of
from tests.support.service import Service
from tests.support.sockets import opened

NOW = datetime(2026, 11, 23, tzinfo=UTC)
TRAIL = """query ($first: Int, $after: String) { auditTrail(first: $first, after: $after) {
    pageInfo { endCursor hasNextPage }
    edges { node { recordedAt actor action entryCount entryIds roleCode detail } } } }"""
LOG = "{ syncLog(first: 2) { edges { node { id payload } } } }"
SET = """mutation ($code: String!) { setRoleAccess(input: {code: $code, accessLevel: COORDINATOR}) {
    __typename } }"""
REPLAY = """mutation ($ids: [ID!]!, $dry: Boolean!) {
    replayEvents(input: {ids: $ids, reason: "seen twice", dryRun: $dry}) { __typename } }"""


async def trail(service: Service) -> list[dict[str, Any]]:
    """Returns the records without their times, the oldest first."""
    connection = (await service.data(TRAIL))["auditTrail"]
    records = [edge["node"] for edge in connection["edges"]]
    assert all(record.pop("recordedAt") for record in records)
    return records[::-1]


def record(actor: str, action: str, **more: Any) -> dict[str, Any]:
    empty = {"entryCount": 0, "entryIds": [], "roleCode": None, "detail": None}
    return {"actor": actor, "action": action, **empty, **more}


async def test_who_may_do_much_is_recorded_with_what_they_did(service: Service) -> None:
    await found_association(service)
    admin = f"member {guid('admin of HLF')}"

    entries = (await service.data(LOG, member="admin of HLF"))["syncLog"]["edges"]
    ids = [entry["node"]["id"] for entry in entries]
    assert all(entry["node"]["payload"] for entry in entries)
    await service.data(REPLAY, member="admin of HLF", ids=ids, dry=False)
    await service.data(SET, code="peer-mentor")

    read, replayed, access_set = await trail(service)
    assert read == record(admin, "PAYLOADS_READ", entryCount=2, entryIds=ids[::-1])
    assert replayed == record(
        admin, "EVENTS_REPLAYED", entryCount=2, entryIds=ids[::-1], detail="seen twice"
    )
    assert access_set == record(
        "operator test",
        "ROLE_ACCESS_SET",
        roleCode="peer-mentor",
        detail="PEER_MENTOR -> COORDINATOR",
    )


async def test_mutations_of_one_request_are_done_one_after_the_other(service: Service) -> None:
    await service.tell(created("Kari"))

    await service.data("""mutation { replayEvents(input: {filter: {}}) { __typename }
        setRoleAccess(input: {code: "member", accessLevel: COORDINATOR}) { __typename } }""")

    assert [it["action"] for it in await trail(service)] == ["EVENTS_REPLAYED", "ROLE_ACCESS_SET"]


async def test_body_that_is_asked_for_by_two_names_is_one_that_was_read(service: Service) -> None:
    await service.tell(created("Kari"))

    log = await service.data("{ syncLog { edges { node { id once: payload twice: payload } } } }")

    (entry,) = [edge["node"] for edge in log["syncLog"]["edges"]]
    assert entry["once"] == entry["twice"] is not None
    assert await trail(service) == [
        record("operator test", "PAYLOADS_READ", entryCount=1, entryIds=[entry["id"]])
    ]


async def test_what_was_not_done_is_not_recorded(service: Service) -> None:
    await found_association(service)
    ids = [
        edge["node"]["id"]
        for edge in (await service.data("{ syncLog { edges { node { id } } } }"))["syncLog"][
            "edges"
        ]
    ]

    await service.data(REPLAY, ids=ids, dry=True)
    await service.data(SET, code="no such role")
    await service.data(SET, code="coordinator")
    await service.ask(SET, member="admin of Oslo", code="member")
    shown = (await service.data(LOG, member="admin of Oslo"))["syncLog"]["edges"]

    assert [edge["node"]["payload"] for edge in shown] == [None, None]
    assert await trail(service) == []


async def test_trail_is_read_page_by_page_by_operators_alone(service: Service) -> None:
    await found_association(service)
    for _ in range(3):
        await service.data(LOG)

    first = (await service.data(TRAIL, first=2))["auditTrail"]
    rest = (await service.data(TRAIL, after=first["pageInfo"]["endCursor"]))["auditTrail"]
    refused = await service.ask(TRAIL, member="admin of HLF")

    assert (len(first["edges"]), len(rest["edges"])) == (2, 1)
    assert (first["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasNextPage"]) == (True, False)
    assert codes(refused) == ["FORBIDDEN"]


async def test_bodies_are_not_for_subscriptions_where_many_would_read_them_at_once(
    service: Service,
) -> None:
    query = """subscription { syncLogChanges { __typename
        ... on SyncLogChange { entry { eventType payload } } } }"""
    async with opened(service.url, service.token()) as socket:
        assert (await socket.next())["type"] == "connection_ack"
        await socket.subscribe("1", query)
        assert (await socket.next())["type"] == "next"
        await service.tell(created("Kari"))

        answer = (await socket.next())["payload"]

    change = answer["data"]["syncLogChanges"]
    assert change["entry"] == {"eventType": "membership-created", "payload": None}
    assert codes(answer) == ["FORBIDDEN"]
    assert await trail(service) == []


async def test_reading_values_of_changes_is_recorded_whole(service: Service) -> None:
    await service.tell(*(created(f"Member {number}") for number in range(30)))
    values = "{ syncLog(first: 30) { edges { node { id changes { field after } } } } }"

    told = await service.data(values)
    await service.data("{ syncLog(first: 30) { edges { node { changes { field } } } } }")

    (read,) = await trail(service)
    assert (read["action"], read["entryCount"]) == ("VALUES_READ", 30)
    assert set(read["entryIds"]) == {edge["node"]["id"] for edge in told["syncLog"]["edges"]}


async def test_following_the_log_with_its_values_is_recorded_at_the_start(
    service: Service,
) -> None:
    query = """subscription { syncLogChanges { __typename
        ... on SyncLogChange { entry { changes { field after } } } } }"""
    async with opened(service.url, service.token()) as socket:
        assert (await socket.next())["type"] == "connection_ack"
        await socket.subscribe("1", query)
        assert (await socket.next())["type"] == "next"
        await service.tell(created("Kari"))
        told = (await socket.next())["payload"]["data"]["syncLogChanges"]

    assert told["entry"]["changes"]
    assert await trail(service) == [
        record("operator test", "VALUES_READ", detail="followed the sync log from now on")
    ]


async def test_a_record_names_every_entry_however_many(database_url: str) -> None:
    ids = [EntryId(number) for number in range(1, 3001)]
    async with database_of(database_url) as database, database.write() as session:
        await record_act(session, Act("somebody", AuditAction.PAYLOADS_READ, ids), NOW)
    async with database_of(database_url) as database, database.read() as session:
        page = await audit_page(session, PageRequest(1))

    assert page.rows[0].entry_ids == ids


@pytest.mark.parametrize(
    "change", ["UPDATE audit_trail SET actor = 'nobody'", "DELETE FROM audit_trail"]
)
async def test_database_refuses_to_change_the_trail(
    change: str, service: Service, database_url: str
) -> None:
    await service.tell(created("Kari"))
    await service.data(LOG)
    before = await trail(service)
    copied = "recorded_at, 'nobody', action, entry_count, entry_ids FROM audit_trail"
    columns = "audit_trail (id, recorded_at, actor, action, entry_count, entry_ids)"
    if database_url.startswith("postgresql"):
        setting = "SET LOCAL session_replication_role = replica"
        statements = [[change], [setting, change], ["TRUNCATE audit_trail"]]
    else:
        statements = [[change], [f"INSERT OR REPLACE INTO {columns} SELECT id, {copied}"]]

    engine = create_async_engine(database_url)

    async def execute(together: list[str]) -> None:
        async with engine.begin() as connection:
            for statement in together:
                await connection.execute(text(statement))

    for together in statements:
        with pytest.raises(DBAPIError, match="append-only"):
            await execute(together)
    await engine.dispose()

    assert len(before) == 1
    assert await trail(service) == before
