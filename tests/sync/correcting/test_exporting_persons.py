"""A person's own data: all that is held about them, and nothing about anybody else."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from db.database import Database
from db.queries.keyset import PageRequest
from db.queries.log.audit_trail import Act, audit_page, record_act
from db.queries.log.personal_data import exported_columns
from db.queries.log.traces import ELSEWHERE, POINTERS
from db.tables.models import Base
from db.vocabulary import AuditAction
from sync.correcting.exporting_persons import PersonalData, export_person
from sync.errors import PersonUnknownError
from tests.support.builders import created, event, guid, role, role_updated, updated
from tests.sync.recorded_events import entries, record_all

NOW = datetime(2026, 11, 27, 9, tzinfo=UTC)
KARI = {"givenName": "Kari", "familyName": "Nordmann", "email": "kari@example.no"}
OLA = {"givenName": "Ola", "familyName": "Hansen", "email": "ola@example.no"}


async def exported(database: Database, name: str = "Kari") -> PersonalData:
    return await export_person(database, guid(name), "test", lambda: NOW)


def as_text(data: PersonalData) -> str:
    return msgspec.json.encode(data).decode()


async def test_everything_about_the_person_comes_out_and_nothing_about_others(
    database: Database,
) -> None:
    await record_all(
        database,
        created("Kari", profile=KARI),
        created("Ola", profile=OLA),
        updated("Kari", 1, profile={"phone": "+4790000001"}),
        role_updated("Kari", 2, roles=[role("coordinator")]),
    )

    found = await exported(database)
    text = as_text(found)

    (member,) = found.data["members"]
    assert (member["given_name"], member["phone"]) == ("Kari", "+4790000001")
    assert member["organization"] == "HLF Oslo"
    assert [held["role"] for held in found.data["role_assignments"]] == ["Coordinator"]
    assert len(found.data["sync_log"]) == 3
    assert "Ola" not in text
    assert "ola@example.no" not in text
    assert found.kept_back["members.sort_name"]
    assert set(found.explanation) == {"nb", "en"}


async def test_what_was_known_under_a_merged_id_comes_out_as_well(database: Database) -> None:
    await record_all(
        database,
        created("Kari", profile=KARI),
        created("Kari N", 1, profile={**KARI, "phone": "+4790000009"}),
        event("membership-merged", "Kari", 2, mergedId=guid("Kari N")),
    )

    one, other = await exported(database), await exported(database, "Kari N")

    assert one.portal_ids == other.portal_ids == sorted([guid("Kari"), guid("Kari N")])
    assert one.data == other.data
    assert "+4790000009" in as_text(one)


async def test_who_looks_is_told_by_time_and_the_export_is_recorded(database: Database) -> None:
    await record_all(database, created("Kari", profile=KARI), created("Ola", profile=OLA))
    _, kari = await entries(database)
    async with database.write() as session:
        act = Act("member colleague-7", AuditAction.PAYLOADS_READ, [kari.id])
        await record_act(session, act, NOW - timedelta(days=1))

    first = await exported(database)
    second = await exported(database)

    assert [look.action for look in first.looked_at] == [AuditAction.PAYLOADS_READ]
    assert [look.action for look in second.looked_at] == [
        AuditAction.PAYLOADS_READ,
        AuditAction.PERSON_EXPORTED,
    ]
    assert "colleague-7" not in as_text(second)
    async with database.read() as session:
        newest = (await audit_page(session, PageRequest(size=1))).rows[0]
    assert (newest.actor, newest.action) == ("test", AuditAction.PERSON_EXPORTED)
    assert newest.entry_ids == [kari.id]


@pytest.mark.parametrize("id", ["?", guid("Nobody")])
async def test_person_of_whom_nothing_is_held_is_told_so_and_not_recorded(
    database: Database, id: str
) -> None:
    await record_all(database, created("Kari", profile=KARI))

    with pytest.raises(PersonUnknownError):
        await export_person(database, id, "test", lambda: NOW)

    async with database.read() as session:
        assert (await audit_page(session, PageRequest(size=1))).rows == []


def test_every_table_with_something_to_export_says_whom_its_rows_are_about() -> None:
    exportable = {table.name for table in Base.metadata.sorted_tables if exported_columns(table)}

    assert exportable - ELSEWHERE <= POINTERS.keys()
