"""How long the API is fuzzed: `./test tests/schema/test_fuzzing.py --examples 200`."""

import pytest

FEW = 5


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--examples", type=int, default=FEW, help="queries made up for each field")


@pytest.fixture
def examples(request: pytest.FixtureRequest) -> int:
    # When all tests are run, this file is read too late to add an option.
    return int(request.config.getoption("examples", default=FEW))
