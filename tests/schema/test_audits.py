"""The API as the tools of its clients judge it: audits and linters that are not ours, from npm."""

import asyncio
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import schema
from tests.support.javascript import NODE, PACKAGES, install_packages
from tests.support.service import Service

pytestmark = pytest.mark.child_process

SDL = Path(schema.__file__).parent / "schema.graphql"
MODULES = PACKAGES / "node_modules"


@pytest.fixture(scope="module", autouse=True)
def _packages() -> None:
    install_packages()


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here is a matter of the database."""
    return sqlite_url


async def node(program: Path, *args: str | Path, cwd: Path = PACKAGES, **env: str) -> str:
    """Runs a program to its end; its output. One that fails fails the test."""
    process = await asyncio.create_subprocess_exec(
        NODE,
        program,
        *args,
        cwd=cwd,
        env={**os.environ, **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    text = output.decode()
    assert process.returncode == 0, text
    return text


async def test_service_fulfils_every_audit_of_graphql_over_http(service: Service) -> None:
    report = json.loads(await node(PACKAGES / "http_audit.mjs", f"{service.url}/graphql"))

    assert report == {"audits": 61, "unfulfilled": []}


async def test_schema_is_as_graphql_eslint_recommends() -> None:
    eslint = MODULES / "eslint" / "bin" / "eslint.js"
    config = PACKAGES / "eslint.config.mjs"

    # It looks at nothing outside of the folder it is started in.
    await node(
        eslint, "--config", config, "--max-warnings", "0", SDL.name,
        cwd=SDL.parent, GRAPHQL_SCHEMA=str(SDL),
    )  # fmt: skip


LINTER_RULES = [
    "arguments-have-descriptions",
    "defined-types-are-used",
    "deprecations-have-a-reason",
    "descriptions-are-capitalized",
    "enum-values-all-caps",
    "enum-values-have-descriptions",
    "fields-are-camel-cased",
    "fields-have-descriptions",
    "input-object-values-are-camel-cased",
    "input-object-values-have-descriptions",
    "relay-connection-arguments-spec",
    "relay-connection-types-spec",
    "relay-page-info-spec",
    "types-are-capitalized",
    "types-have-descriptions",
]


async def test_schema_is_as_graphql_schema_linter_wants_it_but_for_the_alphabet() -> None:
    """Fields and values stand in the order in which they are best read."""
    program = MODULES / "graphql-schema-linter" / "lib" / "cli.js"

    await node(program, "--rules", ",".join(LINTER_RULES), SDL)


async def test_relay_compiles_queries_pages_refetches_subscriptions_and_mutations(
    tmp_path: Path,
) -> None:
    await relay_compile(tmp_path)

    generated = {file.stem for file in (tmp_path / "src" / "__generated__").iterdir()}
    operations = "membersQuery membersPageQuery memberRefetchQuery membersSubscription"
    assert {f"{name}.graphql" for name in operations.split()} <= generated


async def relay_compile(folder: Path) -> dict[str, str]:
    """The manifest that relay-compiler writes: the texts of the operations by their ids."""
    shutil.copytree(PACKAGES / "relay", folder / "src")
    shutil.copy(SDL, folder / "schema.graphql")
    (folder / "persisted.json").write_text("{}")
    config: dict[str, Any] = {
        "src": "./src",
        "schema": "./schema.graphql",
        "language": "javascript",
        "eagerEsModules": True,
        "persistConfig": {"file": "./persisted.json", "algorithm": "SHA256"},
    }
    (folder / "relay.config.json").write_text(json.dumps(config))
    await node(MODULES / "relay-compiler" / "cli.js", "relay.config.json", cwd=folder)
    manifest: dict[str, str] = json.loads((folder / "persisted.json").read_text())
    assert {hashlib.sha256(text.encode()).hexdigest() for text in manifest.values()} == set(
        manifest
    )
    return manifest
