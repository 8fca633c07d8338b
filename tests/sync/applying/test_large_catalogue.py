"""A delivery reads the roles that it is about, however many the catalogue has."""

import asyncio

from db.database import Database
from db.queries.chapters.roles import (
    MAX_UNDECIDED_ROLES,
    insert_roles,
    role_catalogue,
    roles_touched,
    set_role_access,
)
from db.queries.members.member_records import member_records, saved_roles
from db.vocabulary import AccessLevel, PortalId
from sync.recording.record import record_deliveries
from tests.support.builders import created, guid, role, role_updated
from tests.sync.recorded_events import delivery, entries


async def test_only_mentioned_and_held_roles_are_read(database: Database) -> None:
    async with database.write() as session:
        await insert_roles(session, [f"role-{number}" for number in range(500)])
    for event in (
        created("Kari", 0, roles=[role("role-7")]),
        role_updated("Kari", 1, roles=[role("coordinator"), role("role-8")]),
    ):
        await record_deliveries(database, [delivery(event, f"evt_{event['timestamp']}")])

    async with database.write() as session:
        members = [PortalId(guid("Kari"))]
        read = await session.find(roles_touched(["role-9", "new"], members))
        session.discard()
    newest, _ = await entries(database)
    (change,) = newest.field_changes

    assert {role.code for role in read} == {"coordinator", "role-8", "role-9"}
    assert (change.before, change.after) == ("role-7", "coordinator, role-8")


async def test_codes_that_nobody_decides_do_not_fill_the_catalogue(database: Database) -> None:
    events = [
        created(f"Member {n}", n, roles=[role(f"{n}-{number}") for number in range(99)])
        for n in range(3)
    ]
    late = role_updated("Member 0", 9, roles=[role("member"), role("late", "HLF Oslo")])

    await asyncio.gather(
        *(
            record_deliveries(database, [delivery(event, f"evt_{number}")])
            for number, event in enumerate(events)
        )
    )
    await record_deliveries(database, [delivery(late, "evt_late")])

    async with database.read() as session:
        catalogue = await role_catalogue(session)
    newest, *_ = await entries(database)
    roles = {change.field: change.after for change in newest.field_changes}["roles"]
    assert sum(not one.decided for one in catalogue) == MAX_UNDECIDED_ROLES
    assert roles == "member, late (HLF Oslo)"
    assert "not in the catalogue: 1" in (newest.detail or "")


async def test_a_code_that_was_kept_as_text_is_listed_once_there_is_room(
    database: Database,
) -> None:
    codes = [f"made-up-{number}" for number in range(MAX_UNDECIDED_ROLES)]
    kari = [PortalId(guid("Kari"))]
    async with database.write() as session:
        await insert_roles(session, codes)
    first = created("Kari", 0, roles=[role("late")])
    await record_deliveries(database, [delivery(first, "evt_1")])
    async with database.write() as session:
        (without,) = await session.find(member_records(kari))
        await set_role_access(session, codes[0], AccessLevel.MEMBER)

    again = role_updated("Kari", 1, roles=[role("late")])
    await record_deliveries(database, [delivery(again, "evt_2")])

    async with database.write() as session:
        (listed,) = await session.find(member_records(kari))
        (held,) = (await session.find(saved_roles(kari))).values()
    assert (without.unlisted_roles, listed.unlisted_roles) == ("late", None)
    assert len(held) == 1
