"""The faults come in a short form for every run of the tests, and a long one (`./test faults`)."""

from collections.abc import Iterator

import pytest

from db.migrate import migrate
from tests.support.postgres import PostgresCluster

_databases = iter(range(1, 1_000_000))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the long form of the fault tests")
    parser.addoption("--cases", type=int, help="hostile inputs of each test that makes them up")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for its `round_number` has one, and five in the long form, each of which can
    be run alone: `./test faults -k round3`."""
    if "round_number" in metafunc.fixturenames:
        rounds = range(5 if metafunc.config.getoption("long", default=False) else 1)
        metafunc.parametrize("round_number", rounds, ids=[f"round{number}" for number in rounds])


@pytest.fixture
def long(request: pytest.FixtureRequest) -> bool:
    # When all tests are run, this file is read too late to add an option.
    return bool(request.config.getoption("long", default=False))


@pytest.fixture
def cases(request: pytest.FixtureRequest, long: bool) -> int:
    """How many hostile inputs a test makes up."""
    given: int | None = request.config.getoption("cases", default=None)
    return given or (50_000 if long else 240)


@pytest.fixture
def long_only(long: bool) -> None:
    if not long:
        pytest.skip("takes its time: ./test faults")


@pytest.fixture(scope="module")
def fragile_postgres() -> Iterator[PostgresCluster]:
    """A server for these tests alone, which they may stop. It keeps what it has committed."""
    with PostgresCluster(durable=True) as cluster:
        yield cluster


@pytest.fixture
async def fragile_url(fragile_postgres: PostgresCluster) -> str:
    """An empty migrated database on it."""
    fragile_postgres.start()
    url = fragile_postgres.create_database(f"fragile_{next(_databases)}")
    await migrate(url)
    return url
