"""A role that owns no tables, with the rights that `grants` names, is enough for the service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import httpx
import pytest
from sqlalchemy import make_url

from app.server import running
from app.settings import Settings
from db.upkeep.inspection import postgres_state
from db.upkeep.privileges import grants
from tests.support.builders import created, deactivated, event
from tests.support.postgres import PostgresCluster
from tests.support.service import DEADLINE, Service

ROLE = 'service "of" Kari'


@asynccontextmanager
async def as_owner(url: str) -> AsyncIterator[asyncpg.Connection]:
    parts = make_url(url)
    connection = await asyncpg.connect(
        host=parts.host, port=parts.port, user=parts.username, database=parts.database
    )
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def role_url(postgres: PostgresCluster, postgres_url: str) -> AsyncIterator[str]:
    """The URL of the role, which has no rights yet."""
    quoted = ROLE.replace('"', '""')
    postgres.execute(f'CREATE ROLE "{quoted}" LOGIN')
    url = make_url(postgres_url).set(username=ROLE)
    yield url.render_as_string(hide_password=False)
    async with as_owner(postgres_url) as owner:
        await owner.execute(f'DROP OWNED BY "{quoted}"')
    postgres.execute(f'DROP ROLE "{quoted}"')


async def test_service_runs_as_a_role_that_owns_nothing(postgres_url: str, role_url: str) -> None:
    async with as_owner(postgres_url) as owner:
        for _ in range(2):
            await owner.execute("\n".join(grants(ROLE)))
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]  # pydantic-settings takes it at run time
        database_url=role_url,
        port=0,
        log_level="warning",
    )

    async with running(settings) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        service = Service(url, http, settings)
        assert (await http.get(f"{url}/readyz")).status_code == 200
        async with service.subscribe(
            "subscription { memberChanges { __typename ... on MemberChange { operation } } }"
        ) as changes:
            await changes.next("StreamHeartbeat")
            await service.tell(created("Kari"), deactivated("Kari"))
            assert (await changes.next("MemberChange"))["operation"] == "ADDED"
        await service.deliver(event("unheard-of", "Kari"))
        entries = await service.data("{ syncLog { edges { node { id status payload } } } }")
        ids = [edge["node"]["id"] for edge in entries["syncLog"]["edges"]]
        replayed = await service.data(
            'mutation ($ids: [ID!]) { replayEvents(input: {ids: $ids, reason: "try"}) '
            "{ __typename } }",
            ids=ids,
        )
        assert replayed["replayEvents"]["__typename"] != "UserError"
        set_role = await service.data(
            'mutation { setRoleAccess(input: {code: "peer-mentor", accessLevel: COORDINATOR}) '
            "{ __typename } }"
        )
        assert "Error" not in set_role["setRoleAccess"]["__typename"]
        trail = await service.data("{ auditTrail { edges { node { action } } } }")

    assert trail["auditTrail"]["edges"]


async def test_role_cannot_touch_the_audit_trail_nor_its_trigger(
    postgres_url: str, role_url: str
) -> None:
    async with as_owner(postgres_url) as owner:
        await owner.execute("\n".join(grants(ROLE)))

    async with as_owner(role_url) as role:
        for statement in (
            "DELETE FROM audit_trail",
            "UPDATE audit_trail SET actor = 'nobody'",
            "TRUNCATE audit_trail",
            "DROP TRIGGER audit_trail_append_only ON audit_trail",
            "UPDATE alembic_version SET version_num = '0001'",
            "CREATE TABLE mine (id int)",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await role.execute(statement)


async def test_tables_of_later_migrations_are_granted_as_well(
    postgres_url: str, role_url: str
) -> None:
    async with as_owner(postgres_url) as owner:
        await owner.execute("\n".join(grants(ROLE)))

        await owner.execute("CREATE TABLE later (id bigserial PRIMARY KEY, name text)")

    async with as_owner(role_url) as role:
        await role.execute("INSERT INTO later (name) VALUES ('x')")
        assert await role.fetchval("SELECT name FROM later") == "x"


async def test_inspection_names_what_a_role_lacks(postgres_url: str, role_url: str) -> None:
    before = await postgres_state(role_url)
    async with as_owner(postgres_url) as owner:
        await owner.execute("\n".join(grants(ROLE)))

    after = await postgres_state(role_url)

    assert "INSERT on sync_log" in before.lacking
    assert after.lacking == []
    assert not after.owns_audit_trail
    assert (await postgres_state(postgres_url)).owns_audit_trail
