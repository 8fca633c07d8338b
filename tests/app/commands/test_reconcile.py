"""The command `reconcile`, as a program: what it prints, and its exit codes."""

from pathlib import Path

import pytest

from tests.support.builders import guid
from tests.support.commands import Finished, run

HEADER = "portalId;givenName;organizationId;roles;state"


@pytest.fixture
def database(sqlite_url: str) -> str:
    return sqlite_url


async def reconcile(
    folder: Path, database: str, names: list[str], *options: str, source: str = "portal"
) -> Finished:
    rows = [f"{guid(name)};{name};{guid('HLF Oslo')};member;ACTIVE" for name in names]
    file = folder / "members.csv"
    file.write_text("\n".join([HEADER, *rows, ""]), encoding="utf-8-sig")
    arguments = ["reconcile", source, "--file", str(file), *options]
    return await run(folder, *arguments, database_url=database)


async def test_first_load_and_what_is_held_later(tmp_path: Path, database: str) -> None:
    names = [f"member {number}" for number in range(30)]

    dry = await reconcile(tmp_path, database, names, "--dry-run", "--at", "2024-12-01T00:00:00")
    first = await reconcile(tmp_path, database, names, "--at", "2024-12-01T00:00:00")
    held = await reconcile(tmp_path, database, names[:9], "--at", "2024-12-02T00:00:00")

    assert (dry.code, first.code, held.code) == (0, 0, 3), dry.err + first.err + held.err
    assert "CREATED" not in dry.out
    assert "CREATED      30" in first.out
    assert guid("member 29") in held.out
    assert "--release" in held.out


async def test_wrong_lines_and_unknown_sources_are_told(tmp_path: Path, database: str) -> None:
    wrong = await reconcile(tmp_path, database, ["Kari", "Kari"])
    unknown = await reconcile(tmp_path, database, ["Kari"], source="elsewhere")

    assert wrong.code == 1
    assert "line 3: is about" in wrong.err
    assert "nothing was applied" in wrong.err
    assert unknown.code == 2
    assert "There is: portal." in unknown.err
