"""Databases and services for the tests: everything real, SQLite and PostgreSQL alike."""

import asyncio
import itertools
import os
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from app.server import running
from app.settings import PREFIX, Settings
from db.migrate import migrate
from schema.engine import work
from tests.support.postgres import PostgresCluster
from tests.support.service import DEADLINE, Service

# Their fixtures start servers, browsers or other processes.
_NOT_QUICK = ("acceptance", "console", "docs", "faults")
_TEMPLATE = "template_of_tests"
_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quick", action="store_true", help="only what SQLite and this process suffice for"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("quick"):
        left_out = [item for item in items if not _is_quick(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if _is_quick(item)]


def _is_quick(item: pytest.Item) -> bool:
    folder = item.path.relative_to(item.config.rootpath / "tests").parts[0]
    fixtures: Sequence[str] = getattr(item, "fixturenames", ())
    return (
        folder not in _NOT_QUICK
        and item.get_closest_marker("child_process") is None
        and not any("postgres" in name for name in fixtures)
        and "postgresql" not in item.name
    )


@pytest.fixture(scope="session", autouse=True)
def _only_settings_of_tests() -> None:
    """Whoever runs the tests may have the service configured in their environment."""
    for name in list(os.environ):
        if name.startswith(PREFIX):
            del os.environ[name]


@pytest.fixture(scope="session", autouse=True)
def _no_turns() -> None:
    """Keeps the number of turns, which depends on the machine, out of what tests count."""
    work.TURN_SECONDS = 1_000


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresCluster]:
    """A running server of this test process."""
    with PostgresCluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresCluster) -> str:
    """A migrated database to make copies of."""
    _migrate(postgres.create_database(_TEMPLATE))
    return _TEMPLATE


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database file to make copies of."""
    file = tmp_path_factory.mktemp("sqlite") / "template.db"
    _migrate(f"sqlite+aiosqlite:///{file}")
    return file


def _migrate(url: str) -> None:
    # A session's fixture may be made while a loop runs in this thread.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, migrate(url)).result()


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    file = tmp_path / "likeperson.db"
    shutil.copy(sqlite_template, file)
    return f"sqlite+aiosqlite:///{file}"


@pytest.fixture
def postgres_url(postgres: PostgresCluster, postgres_template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    yield postgres.create_database(name, template=postgres_template)
    postgres.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty migrated database; the test runs on both kinds."""
    fixture = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(fixture)
    return url


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(
        # Nor may it be configured by a file in the folder the tests run in.
        _env_file=None,  # type: ignore[call-arg]  # pydantic-settings takes it at run time
        database_url=database_url,
        port=0,
        log_level="warning",
    )


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Service]:
    """The service under uvicorn on a free port, in this process."""
    async with running(settings) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        yield Service(url, http, settings)
