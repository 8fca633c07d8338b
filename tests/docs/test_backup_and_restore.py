"""docs/operate/backup.md and restore.md, executed: an older backup comes back, and nobody who
followed the changes misses any."""

import os
import shutil
from pathlib import Path

import httpx
import pytest
from sqlalchemy import make_url

from app.server import running
from app.settings import Settings
from tests.docs.commands import Shell, blocks
from tests.support.builders import created, guid, updated
from tests.support.postgres import PostgresCluster, find_binaries
from tests.support.service import DEADLINE, Service

FOLLOW = """
subscription ($after: ChangeCursor) { memberChanges(after: $after) {
  __typename
  ... on StreamHeartbeat { cursor }
  ... on MemberChange { cursor operation member { givenName } }
  ... on ResyncRequired { cursor reason }
} }
"""
NAMES = "{ members(orderBy: {field: NAME, direction: ASC}) { edges { node { givenName } } } }"


def settings_of(url: str) -> Settings:
    return Settings(
        _env_file=None,  # type: ignore[call-arg]  # pydantic-settings takes it at run time
        database_url=url,
        port=0,
        log_level="warning",
    )


class Story:
    """A service with a follower, whose database is backed up, goes on, and is restored."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def until_the_backup(self) -> None:
        async with self.service() as service:
            await service.tell(created("Kari", profile={"givenName": "Kari"}), created("Ola"))

    async def after_the_backup(self) -> None:
        async with self.service() as service:
            await service.tell(
                created("Late"),
                updated("Kari", profile={"givenName": "Karianne"}),
                updated("Ola", 2),
            )
            async with service.subscribe(FOLLOW) as changes:
                self.last_cursor = (await changes.next("StreamHeartbeat"))["cursor"]

    async def follower_begins_anew_even_when_positions_have_come_again(self) -> None:
        """More is written than was lost, so that the old position exists once more."""
        async with self.service() as service:
            assert len(await names(service)) == 2
            for number in range(5):
                await service.tell(created(f"New {number}"))
            async with service.subscribe(FOLLOW, after=self.last_cursor) as changes:
                message = await anext(changes)
            assert message["__typename"] == "ResyncRequired"
            async with service.subscribe(FOLLOW, after=message["cursor"]) as changes:
                await changes.next("StreamHeartbeat")
                await service.tell(created("Newest"))
                assert (await changes.next("MemberChange"))["operation"] == "ADDED"

    def service(self) -> "_Served":
        return _Served(settings_of(self.url))


class _Served:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def __aenter__(self) -> Service:
        self._running = running(self._settings)
        self._http = httpx.AsyncClient(timeout=DEADLINE)
        return Service(await self._running.__aenter__(), self._http, self._settings)

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()
        await self._running.__aexit__(None, None, None)


async def names(service: Service) -> list[str]:
    edges = (await service.data(NAMES))["members"]["edges"]
    return [edge["node"]["givenName"] for edge in edges]


def without_serving(commands: str) -> str:
    """The service is run by the test itself."""
    assert commands.rstrip().endswith("./run serve")
    return commands.replace("./run serve", "")


async def test_older_backup_of_sqlite_is_restored(sqlite_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "service"
    (folder / "var").mkdir(parents=True)
    database = folder / "var" / "likeperson.db"
    shutil.move(make_url(sqlite_url).database or "", database)
    story = Story(f"sqlite+aiosqlite:///{database}")
    shell = Shell(folder, {})
    await story.until_the_backup()
    (backup,) = blocks("operate/backup.md", "## SQLite")
    await shell.paste(backup)
    (written,) = (folder / "backups").iterdir()
    await story.after_the_backup()

    put_back, start = blocks("operate/restore.md", "## SQLite")
    await shell.paste(put_back.replace("likeperson-20261126T020000Z.db", written.name))
    await shell.paste(without_serving(start))

    await story.follower_begins_anew_even_when_positions_have_come_again()
    await what_is_missing_comes_back(story, shell, folder)


async def what_is_missing_comes_back(story: Story, shell: Shell, folder: Path) -> None:
    (folder / "members.csv").write_text(
        f"portalId,givenName,state\n{guid('Kari')},Karianne,ACTIVE\n{guid('Late')},Sen,ACTIVE\n"
    )
    (compare,) = blocks("operate/restore.md", "## What is missing")
    with_the_portal, with_a_file = compare.splitlines()
    assert with_the_portal == "./run reconcile min-side"  # Which needs a portal: tests/sync.
    await shell.paste(f"{with_a_file} --partial")
    async with story.service() as service:
        assert {"Karianne", "Sen"} <= set(await names(service))


@pytest.mark.child_process
async def test_older_dump_of_postgresql_is_restored(
    postgres: PostgresCluster, postgres_url: str, tmp_path: Path
) -> None:
    parts = make_url(postgres_url)
    story = Story(postgres_url)
    restored_url = str(postgres.url_of("likeperson_restored"))
    shell = Shell(
        tmp_path,
        {
            "PATH": f"{find_binaries()}:{os.environ['PATH']}",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(parts.port),
            "PGUSER": "postgres",
            "LIKEPERSON_DATABASE_URL": restored_url,
        },
    )
    await story.until_the_backup()
    (dump,) = blocks("operate/backup.md", "## PostgreSQL")
    where = f"postgresql://postgres@127.0.0.1:{parts.port}/{parts.database}"
    await shell.paste(dump.replace("postgresql://USER@HOST/NAME", where))
    await story.after_the_backup()

    put_back, start = blocks("operate/restore.md", "## PostgreSQL")
    await shell.paste(put_back)
    await shell.paste(without_serving(start))

    story.url = restored_url
    await story.follower_begins_anew_even_when_positions_have_come_again()
    await what_is_missing_comes_back(story, shell, tmp_path)
    postgres.drop_database("likeperson_restored")
