"""A program goes on with a newer schema that says so, and stops with one that does not."""

from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.server import running
from app.settings import Settings
from db.errors import SchemaOutdatedError
from db.migrate import (
    check_schema,
    expected_revision,
    migrate,
    oldest_compatible,
    require_current_schema,
)
from tests.support.builders import created
from tests.support.opened import opened
from tests.support.service import DEADLINE, Service

NEWER = "9999"


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(database_url)
    yield engine
    await engine.dispose()


async def upgrade(engine: AsyncEngine, oldest: str) -> None:
    """Does what a newer release would: a new table, and columns that may be left out."""
    async with engine.begin() as connection:
        for statement in (
            "CREATE TABLE of_the_next_release (id INTEGER PRIMARY KEY)",
            "ALTER TABLE members ADD COLUMN of_the_next_release TEXT",
            "ALTER TABLE sync_log ADD COLUMN of_the_next_release TEXT DEFAULT 'x' NOT NULL",
            "UPDATE alembic_version SET version_num = :newer",
            "UPDATE schema_compatibility SET oldest = :oldest",
        ):
            names = {"newer": NEWER, "oldest": oldest}
            given = {name: it for name, it in names.items() if f":{name}" in statement}
            await connection.execute(text(statement), given)


async def test_additive_upgrade_beside_a_running_process_turns_no_delivery_away(
    settings: Settings, engine: AsyncEngine
) -> None:
    async with running(settings) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        service = Service(url, http, settings)
        await service.tell(created("Before"))
        async with service.subscribe(
            "subscription { memberChanges { __typename ... on MemberChange { operation } } }"
        ) as changes:
            await changes.next("StreamHeartbeat")

            await upgrade(engine, oldest=expected_revision())

            await service.tell(*(created(f"After {number}") for number in range(20)))
            assert (await http.get(f"{url}/readyz")).status_code == 200
            for _ in range(20):
                assert (await changes.next("MemberChange"))["operation"] == "ADDED"


async def test_older_program_can_be_put_back_on_a_schema_that_it_can_use(
    settings: Settings, engine: AsyncEngine
) -> None:
    await upgrade(engine, oldest=expected_revision())

    await require_current_schema(settings.database_url)
    await migrate(settings.database_url)  # As `serve` does on SQLite: it changes nothing.

    async with running(settings) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        await Service(url, http, settings).tell(created("Kari"))
    async with engine.connect() as connection:
        version = await connection.scalar(text("SELECT version_num FROM alembic_version"))
    assert version == NEWER


async def test_schema_that_older_programs_cannot_use_stops_them(
    settings: Settings, engine: AsyncEngine
) -> None:
    async with running(settings) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        await upgrade(engine, oldest=NEWER)
        assert (await http.get(f"{url}/readyz")).status_code == 503

    for start in (require_current_schema, migrate):
        with pytest.raises(SchemaOutdatedError, match="run the version that has migrated it"):
            await start(settings.database_url)
    async with opened(settings.database_url) as database:
        with pytest.raises(SchemaOutdatedError):
            await check_schema(database)


async def test_migrating_says_which_programs_can_go_on(
    database_url: str, engine: AsyncEngine
) -> None:
    async with engine.connect() as connection:
        stored = await connection.scalar(text("SELECT oldest FROM schema_compatibility"))

    assert stored == oldest_compatible(expected_revision())
    assert oldest_compatible("0012") == "0012"
    assert oldest_compatible("0014") == "0012"
