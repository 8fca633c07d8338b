"""The command `reconcile`, as a program: what it prints, and its exit codes."""

import json
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import pytest

from db.queries.runs.portal_states import lease_portal
from db.queries.runs.reconciliations import begin_run, last_runs, run_by_id
from db.vocabulary import ReconciliationKind, ReconciliationStatus
from sync.simulator.dataverse.served_api import Fault
from tests.support.builders import guid
from tests.support.commands import Finished, run
from tests.support.dataverse import TOKEN, simulated_dataverse
from tests.support.opened import opened

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


async def test_what_is_held_is_shown_and_decided(tmp_path: Path, database: str) -> None:
    names = [f"member {number}" for number in range(30)]
    await reconcile(tmp_path, database, names, "--at", "2024-12-01T00:00:00")
    await reconcile(tmp_path, database, names[:9], "--at", "2024-12-02T00:00:00")
    ask = ["reconcile", "portal", "--held"]

    shown = await run(tmp_path, *ask, database_url=database)
    unsaid = await run(tmp_path, *ask, "--release", database_url=database)
    released = await run(
        tmp_path, *ask, "--release", "--reason", "they have left", database_url=database
    )
    after = await run(tmp_path, *ask, "--discard", "--reason", "no", database_url=database)

    assert "Held back of portal: 21." in shown.out, shown.err
    assert guid("member 29") in shown.out
    assert unsaid.code == 2
    assert "Released." in released.out, released.err
    assert after.code == 1
    assert "Nothing is held back" in after.err


async def test_a_run_waits_for_one_that_another_process_has_begun(
    tmp_path: Path, database: str
) -> None:
    await reconcile(tmp_path, database, ["Kari"])
    now = datetime.now(UTC)
    until = now + timedelta(seconds=4)
    async with opened(database) as other:
        async with other.write() as session:
            await lease_portal(session, "portal", now, until)
            theirs = await begin_run(session, "portal", ReconciliationKind.FULL, now)

        ours = await reconcile(tmp_path, database, ["Kari", "Per"])

        async with other.read() as session:
            newest = (await last_runs(session, ["portal"]))["portal"]
            their_run = await run_by_id(session, theirs)
    assert ours.code == 0, ours.err
    assert newest.id != theirs
    assert newest.started_at >= until
    # Its process had ended without giving the lease back.
    assert their_run is not None
    assert their_run.status is ReconciliationStatus.FAILED


async def test_wrong_lines_and_unknown_sources_are_told(tmp_path: Path, database: str) -> None:
    wrong = await reconcile(tmp_path, database, ["Kari", "Kari"])
    unknown = await reconcile(tmp_path, database, ["Kari"], source="elsewhere")

    assert wrong.code == 1
    assert "line 3: is about" in wrong.err
    assert "nothing was applied" in wrong.err
    assert unknown.code == 2
    assert "There is: portal." in unknown.err


async def test_members_are_read_from_the_portal_itself(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINSIDE_TOKEN", TOKEN)
    async with simulated_dataverse() as dataverse:
        dataverse.member("Kari")
        dataverse.member("Per")
        mapping = tmp_path / "min-side.toml"
        mapping.write_text(dataverse.mapping_text(), encoding="utf-8")
        source = {"scheme": "dataverse", "secrets": ["a long key"], "mapping": str(mapping)}
        settings = {"database_url": database, "sources": json.dumps({"min-side": source})}

        first = await run(tmp_path, "reconcile", "min-side", **settings)
        dataverse.member("Per", statecode=1)
        one = await run(tmp_path, "reconcile", "min-side", "--member", guid("Per"), **settings)
        checked = await run(tmp_path, "dataverse", "check", "min-side", **settings)
        dataverse.tables.by_set["contacts"].tracked = False
        untracked = await run(tmp_path, "dataverse", "check", "min-side", **settings)
        dataverse.web.faults.append(Fault(HTTPStatus.FORBIDDEN))
        refused = await run(tmp_path, "reconcile", "min-side", **settings)

    assert (first.code, one.code, refused.code) == (0, 0, 1), first.err + one.err + refused.err
    assert "CREATED      2" in first.out
    assert "DEACTIVATED  1" in one.out
    assert "nothing was applied" in refused.err
    assert (checked.code, untracked.code) == (0, 1), checked.out + checked.err
    assert "Track changes" in untracked.out
