"""Migrations: they end in the models' tables, go both ways, and may be run at any time."""

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import create_async_engine

from db.errors import SchemaOutdatedError
from db.migrate import MIGRATIONS, expected_revision, migrate, require_current_schema
from db.tables.models import Base
from sync.recording.record import record_deliveries
from tests.acceptance.product import COMMAND, PATIENCE, environment
from tests.support.builders import updated
from tests.support.opened import CATALOGUE, opened, row_counts
from tests.support.postgres import PostgresCluster
from tests.sync.recorded_events import delivery

_numbers = itertools.count(1)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without a single table."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}"
        return
    cluster: PostgresCluster = request.getfixturevalue("postgres")
    name = f"empty_{next(_numbers)}"
    yield cluster.create_database(name)
    cluster.drop_database(name)


@pytest.fixture
def empty_postgres_url(postgres: PostgresCluster) -> Iterator[str]:
    name = f"empty_{next(_numbers)}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


async def differences(url: str) -> list[Any]:
    """What would have to change to make the database what the models say."""

    def compare(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))

    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(compare)
    finally:
        await engine.dispose()


async def tables(url: str) -> set[str]:
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            return set(await connection.run_sync(lambda c: inspect(c).get_table_names()))
    finally:
        await engine.dispose()


async def command(url: str, folder: Path, *arguments: str) -> tuple[int | None, str]:
    """Exit code and everything that `likeperson-sync` said."""
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        *arguments,
        cwd=folder,
        env=environment(url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(PATIENCE):
        said, _ = await process.communicate()
    return process.returncode, said.decode()


async def test_empty_database_is_migrated_to_what_the_models_say(empty_url: str) -> None:
    await migrate(empty_url)

    assert await differences(empty_url) == []
    await require_current_schema(empty_url)


async def test_migrated_database_has_the_role_catalogue_and_a_place_in_the_feed(
    empty_url: str,
) -> None:
    await migrate(empty_url)

    async with opened(empty_url) as database:
        counts = await row_counts(database)
    assert {name: count for name, count in counts.items() if count} == {
        "roles": len(CATALOGUE),
        "feed_head": 1,
        "schema_compatibility": 1,
    }


async def test_every_step_can_be_undone_and_done_again(empty_url: str) -> None:
    steps = ScriptDirectory(str(MIGRATIONS)).walk_revisions()
    upwards = [step.revision for step in reversed(list(steps))]

    for below, revision in zip(["base", *upwards], upwards, strict=False):
        await migrate(empty_url, revision)
        there = await tables(empty_url)
        await migrate(empty_url, below)
        assert await tables(empty_url) < there or below != "base"
        await migrate(empty_url, revision)
        assert await tables(empty_url) == there

    assert upwards[-1] == expected_revision()
    assert await differences(empty_url) == []


async def test_all_the_way_down_nothing_is_left(empty_url: str) -> None:
    await migrate(empty_url)

    await migrate(empty_url, "base")

    assert await tables(empty_url) <= {"alembic_version"}


async def test_migrating_twice_changes_nothing(database_url: str) -> None:
    async with opened(database_url) as database:
        before = await row_counts(database)

    await migrate(database_url)

    assert await differences(database_url) == []
    async with opened(database_url) as database:
        assert await row_counts(database) == before


@pytest.mark.child_process
async def test_several_processes_may_migrate_at_once(empty_url: str, tmp_path: Path) -> None:
    outcomes = await asyncio.gather(*(command(empty_url, tmp_path, "migrate") for _ in range(3)))

    said = f"The database is at schema {expected_revision()}.\n"
    assert outcomes == [(0, said)] * 3
    assert await differences(empty_url) == []


async def test_serving_refuses_an_unmigrated_postgresql_and_names_the_command(
    empty_postgres_url: str, tmp_path: Path
) -> None:
    code, said = await command(empty_postgres_url, tmp_path, "serve", "--port", "0")

    assert code == 1
    assert "likeperson-sync migrate" in said
    assert expected_revision() in said
    assert "Traceback" not in said
    assert await tables(empty_postgres_url) == set()


async def test_older_schema_is_told_with_what_is_there_and_what_is_needed(
    empty_url: str,
) -> None:
    await migrate(empty_url, "0001")

    with pytest.raises(SchemaOutdatedError) as refusal:
        await require_current_schema(empty_url)

    assert (refusal.value.current, refusal.value.expected) == ("0001", expected_revision())


def phone(number: int, when: float) -> dict[str, Any]:
    return updated("Kari", when, profile={"phone": str(number)})


async def test_stamps_of_before_get_a_sequence_and_rank_as_before(empty_url: str) -> None:
    """Statements that are stored already still rank by their times among new ones."""
    await migrate(empty_url)
    async with opened(empty_url) as database:
        await record_deliveries(database, [delivery(phone(1, 5), 'evt_"1')])
    await migrate(empty_url, "0005")
    await migrate(empty_url)

    async with opened(empty_url) as database:
        receipts = [
            (await record_deliveries(database, [delivery(event, id)]))[0]
            for id, event in [
                ("evt_2", phone(2, 4)),
                ("evt_0", phone(0, 5)),
                ("evt_3", {**phone(3, 5), "sequence": 1}),
                ("evt_4", phone(4, 6)),
            ]
        ]

    outcomes = [str(receipt.outcome) for receipt in receipts]
    assert outcomes == ["STALE", "UPDATED", "UPDATED", "UPDATED"]
