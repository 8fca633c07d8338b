"""A delivery reads the roles that it is about, however many the catalogue has."""

from db.database import Database
from db.queries.roles import insert_roles, roles_touched
from db.vocabulary import PortalId
from sync.record import record_deliveries
from tests.support.builders import created, guid, role, role_updated
from tests.sync.recording import delivery, entries


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
