"""From SQLite to PostgreSQL: every row, its id, its place in the feed, or a reason why not."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.server import running
from app.settings import Settings
from db.driver.urls import sqlite_file
from db.errors import PortError, SchemaOutdatedError
from db.migrate import require_current_schema
from db.upkeep import porting
from db.upkeep.porting import port
from tests.support.builders import created, deactivated, event, organization, role, updated
from tests.support.commands import run
from tests.support.opened import opened, row_counts
from tests.support.service import DEADLINE, Service

FOLLOW = """subscription ($after: ChangeCursor) { memberChanges(after: $after) { __typename
  ... on StreamHeartbeat { cursor } ... on MemberChange { member { givenName } } } }"""
SPRING = {"givenName": "Kåre \U0001f33b"}
EVERYBODY = """{ members { edges { node {
  id givenName state roles { role { id } since } organization { id parent { id } } } } } }"""


def settings_of(url: str) -> Settings:
    return Settings(
        _env_file=None,  # type: ignore[call-arg]  # pydantic-settings takes it at run time
        database_url=url,
        port=0,
        log_level="warning",
    )


def file_of(url: str) -> Path:
    file = sqlite_file(url)
    assert file is not None
    return file


def nothing(_table: str, _rows: int) -> None:
    pass


async def live_through_something(service: Service) -> None:
    """Chapters that were told of before those above them, a conflict, a refusal, a replay."""
    local = organization("HLF Bærum", "HLF Viken")
    await service.tell(
        created(
            "Kari",
            organization=local,
            roles=[role("storyteller")],
            profile=SPRING,
        ),
        created("Nina", organization=organization("HLF Viken", "HLF")),
        created("Lars", organization=organization("HLF")),
        updated("Ola", 2, profile={"givenName": "Ola"}),
        deactivated("Nina", 3),
    )
    await service.deliver(event("unheard-of", "Kari"))
    await service.deliver(b"{}")
    await service.deliver(created("Kari"), webhook_signature="v1,AAAA")
    await service.data("{ syncLog { edges { node { payload } } } }")  # Which is audited.


async def test_service_goes_on_where_it_was_and_so_do_subscribers(
    sqlite_url: str, postgres_url: str
) -> None:
    async with running(settings_of(sqlite_url)) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        service = Service(url, http, settings_of(sqlite_url))
        await live_through_something(service)
        async with service.subscribe(FOLLOW) as changes:
            place = (await changes.next("StreamHeartbeat"))["cursor"]
        await service.tell(updated("Ola", 4, profile={"givenName": "Missed"}))
        before = await service.data(EVERYBODY)
    async with opened(sqlite_url) as database:
        counts = await row_counts(database)

    await port(file_of(sqlite_url), postgres_url, nothing)

    async with opened(postgres_url) as database:
        assert await row_counts(database) == counts
    async with (
        running(settings_of(postgres_url)) as url,
        httpx.AsyncClient(timeout=DEADLINE) as http,
    ):
        service = Service(url, http, settings_of(postgres_url))
        assert await service.data(EVERYBODY) == before
        async with service.subscribe(FOLLOW, after=place) as changes:
            missed = await changes.next("MemberChange")
            # New rows get ids of their own.
            await service.tell(
                created("Newest", roles=[role("another")], profile={"givenName": "Newest"})
            )
            newest = await changes.next("MemberChange")
    assert missed["member"] == {"givenName": "Missed"}
    assert newest["member"] == {"givenName": "Newest"}


async def test_copy_that_was_cut_short_goes_on_and_no_service_starts_meanwhile(
    sqlite_url: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(settings_of(sqlite_url)) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        service = Service(url, http, settings_of(sqlite_url))
        await live_through_something(service)
        await service.tell(*(created(f"Member {number}") for number in range(20)))
    monkeypatch.setattr(porting, "CHUNK", 5)

    class CutShort(Exception):  # noqa: N818  (no error of the program)
        pass

    def cut(table: str, rows: int) -> None:
        if table == "sync_log" and rows > 10:
            raise CutShort

    with pytest.raises(CutShort):
        await port(file_of(sqlite_url), postgres_url, cut)
    with pytest.raises(SchemaOutdatedError):
        await require_current_schema(postgres_url)
    seen: dict[str, list[int]] = {}
    counts = await port(
        file_of(sqlite_url),
        postgres_url,
        lambda table, rows: seen.setdefault(table, []).append(rows),
    )

    await require_current_schema(postgres_url)
    assert "members" not in seen  # They were there already.
    assert min(seen["sync_log"]) > 10
    async with opened(postgres_url) as database:
        assert (await row_counts(database))["sync_log"] == counts["sync_log"]


async def test_difference_is_found_before_a_service_can_start(
    sqlite_url: str, postgres_url: str
) -> None:
    async with running(settings_of(sqlite_url)) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        await live_through_something(Service(url, http, settings_of(sqlite_url)))
    engine = create_async_engine(postgres_url)
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN NEW.given_name := 'spoilt'; RETURN NEW; END $$"
            )
        )
        await connection.execute(
            text(
                "CREATE TRIGGER spoil BEFORE INSERT ON members "
                "FOR EACH ROW EXECUTE FUNCTION spoil()"
            )
        )
    await engine.dispose()

    with pytest.raises(PortError, match="A row of members differs"):
        await port(file_of(sqlite_url), postgres_url, nothing)

    with pytest.raises(SchemaOutdatedError):
        await require_current_schema(postgres_url)


async def test_target_that_is_not_empty_or_not_migrated_is_left_alone(
    sqlite_url: str, postgres_url: str, tmp_path: Path
) -> None:
    async with (
        running(settings_of(postgres_url)) as url,
        httpx.AsyncClient(timeout=DEADLINE) as http,
    ):
        await Service(url, http, settings_of(postgres_url)).tell(created("Kari"))
    async with opened(postgres_url) as database:
        counts = await row_counts(database)

    with pytest.raises(PortError, match="is not empty"):
        await port(file_of(sqlite_url), postgres_url, nothing)
    with pytest.raises(PortError, match="does not exist"):
        await port(tmp_path / "none.db", postgres_url, nothing)

    async with opened(postgres_url) as database:
        assert await row_counts(database) == counts


async def test_source_that_is_in_use_is_told(
    sqlite_url: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(porting, "WAIT_SECONDS", 0.1)
    with closing(sqlite3.connect(file_of(sqlite_url), check_same_thread=False)) as service:
        await asyncio.to_thread(service.execute, "BEGIN IMMEDIATE")

        with pytest.raises(PortError, match="Stop the service first"):
            await port(file_of(sqlite_url), postgres_url, nothing)


async def test_command_says_what_it_has_copied(
    sqlite_url: str, postgres_url: str, tmp_path: Path
) -> None:
    file = make_url(sqlite_url).database or ""

    done = await run(tmp_path, "port", file, database_url=postgres_url)
    again = await run(tmp_path, "port", file, database_url=sqlite_url)

    assert done.code == 0, done.err
    assert "4 roles" in done.out
    assert "All rows are there, and equal" in done.out
    assert again.code == 1
    assert "names SQLite" in again.err
