"""Everything that is fetched is checked by a hash, and one can say what the service is made of."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import bootstrap

ROOT = bootstrap.ROOT
NPM_LOCKS = [
    "console/package-lock.json",
    "tests/npm/package-lock.json",
    "examples/dashboard/package-lock.json",
]
PACKAGES: dict[str, Any] = {
    package["name"]: package for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_uv_is_pinned_by_the_hashes_of_its_wheels() -> None:
    first, *hashes = bootstrap.UV_REQUIREMENT.read_text().splitlines()

    assert first == f"uv=={bootstrap.UV_VERSION} \\"
    assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in hashes)
    assert len(hashes) > 10


def test_every_locked_python_package_has_a_hash() -> None:
    for name, package in PACKAGES.items():
        files = [*package.get("wheels", []), *filter(None, [package.get("sdist")])]
        assert files or package["source"] == {"editable": "."}, name
        assert all(file["hash"].startswith("sha256:") for file in files), name


def test_what_the_build_requires_has_the_hashes_of_the_lock_file() -> None:
    constraints = PROJECT["tool"]["uv"]["build-constraint-dependencies"]
    pinned = dict(constraint["requirement"].split("==") for constraint in constraints)

    assert PROJECT["tool"]["uv"]["require-build-hashes"] is True
    for constraint in constraints:
        name, version = constraint["requirement"].split("==")
        assert version == PACKAGES[name]["version"]
        assert constraint["hashes"] == sorted(wheel["hash"] for wheel in PACKAGES[name]["wheels"])
    for requirement in PROJECT["build-system"]["requires"]:
        name, version = requirement.split("==")
        assert pinned[name] == version
        needed = {dependency["name"] for dependency in PACKAGES[name].get("dependencies", [])}
        assert needed <= pinned.keys()


@pytest.mark.parametrize("file", NPM_LOCKS)
def test_every_locked_npm_package_has_a_hash(file: str) -> None:
    packages = json.loads((ROOT / file).read_text())["packages"]

    fetched = {
        path: package
        for path, package in packages.items()
        if path.startswith("node_modules/") and not package.get("link")
    }

    assert fetched
    assert [path for path, it in fetched.items() if "sha512-" not in it.get("integrity", "")] == []


def test_sbom_names_every_package_of_the_service_and_of_its_pages(tmp_path: Path) -> None:
    file = tmp_path / "sbom.cdx.json"

    done = subprocess.run(  # noqa: S603 -- our program
        [sys.executable, "deploy/supply_chain.py", "sbom", file],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    document = json.loads(file.read_text())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
    assert document["metadata"]["component"]["name"] == "likeperson-sync"
    components = document["components"]
    references = [component["bom-ref"] for component in components]
    assert len(references) == len(set(references))
    urls = {component["purl"] for component in components}
    for name in ("starlette", "strawberry-graphql", "sqlalchemy", "cryptography"):
        assert f"pkg:pypi/{name}@{PACKAGES[name]['version']}" in urls
    locked = json.loads((ROOT / NPM_LOCKS[0]).read_text())["packages"]
    for name in ("react", "graphiql", "oidc-client-ts"):
        assert f"pkg:npm/{name}@{locked[f'node_modules/{name}']['version']}" in urls
    assert not any(word in url for url in urls for word in ("pytest", "hypothesis", "likeperson"))
    for component in components:
        files = component.get("externalReferences") or [component]
        assert any(file.get("hashes") for file in files), component["purl"]


def test_wrong_use_of_the_command_explains_it() -> None:
    done = subprocess.run(
        [sys.executable, "deploy/supply_chain.py"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert "sbom.cdx.json" in done.stderr
