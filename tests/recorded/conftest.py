"""The option that records the answers anew: `./test tests/recorded --record`."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="record the answers of the API anew")


@pytest.fixture
def record(request: pytest.FixtureRequest) -> bool:
    # When all tests are run, this file is read too late to add an option.
    return bool(request.config.getoption("record", default=False))
