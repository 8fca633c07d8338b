"""An open database for a test, of both kinds, and how many histories the law is tried with:
`./test tests/sync/test_law.py --histories 5000`."""

from collections.abc import AsyncIterator

import pytest

from db.database import Database
from tests.support.opened import opened

FEW = 60


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--histories", type=int, default=FEW, help="how many histories the law is tried with"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The long form takes as long as it takes."""
    if config.getoption("histories", default=FEW) > FEW:
        for item in items:
            item.add_marker(pytest.mark.timeout(0))


@pytest.fixture
def histories_played(request: pytest.FixtureRequest) -> int:
    # When all tests are run, this file is read too late to add an option.
    return int(request.config.getoption("histories", default=FEW))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as database:
        yield database
