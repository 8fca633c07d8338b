"""Queries and mutations that Schemathesis makes up from the schema, sent to the service itself."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.support.association import found_association
from tests.support.service import Service

pytestmark = pytest.mark.child_process

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
ROOT = Path(__file__).parents[2]


async def test_whatever_the_schema_lets_one_ask_is_answered_without_a_server_error(
    service: Service, examples: int, tmp_path: Path
) -> None:
    await found_association(service)

    process = await asyncio.create_subprocess_exec(
        SCHEMATHESIS,
        "run",
        f"{service.url}/graphql",
        *("--header", f"Authorization: Bearer {service.token()}"),
        *("--max-examples", str(examples)),
        # The schema says that ids and cursors are texts, and no more: nearly none of those that are
        # made up is one, and that such an argument is refused is no failure.
        *("--exclude-checks", "positive_data_acceptance"),
        "--continue-on-failure",
        "--no-color",
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.support.made_up_scalars",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()

    text = output.decode()
    assert process.returncode == 0, text
    assert f"Tested: {await operations(service)}" in text


async def operations(service: Service) -> int:
    """How many there are to be tested: all root fields but the subscriptions."""
    found = await service.data(
        "{ __schema { queryType { fields { name } } mutationType { fields { name } } } }"
    )
    return sum(len(type["fields"]) for type in found["__schema"].values())
