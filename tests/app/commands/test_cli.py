"""The command line as people use it."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from importlib.metadata import version
from pathlib import Path
from signal import SIGINT
from typing import Any

import httpx
import pytest
from typer.main import get_group
from typer.testing import CliRunner, Result

from app.commands.cli import COMMANDS, cli
from app.settings import DEVELOPMENT_WEBHOOK_SECRET
from schema.build import build_schema
from tests.support.builders import created
from tests.support.commands import ROOT, START_SECONDS, run, start
from tests.support.service import Service

pytestmark = pytest.mark.child_process

Replaying = Callable[..., Awaitable[Result]]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """SQLite only: these tests do not depend on the database."""
    return sqlite_url


def test_commands_are_those_of_the_contract() -> None:
    contract = "serve migrate demo simulate token worker replay log export-schema documents"

    upkeep = "doctor try-alerts backup restored port grants retention"

    register = "reconcile correct dataverse forget export-person"

    assert {*contract.split(), *upkeep.split(), *register.split()} == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_command_explains_itself_and_every_option(name: str) -> None:
    command: Any = get_group(cli).commands[name]

    done = CliRunner().invoke(cli, [name, "--help"])

    assert done.exit_code == 0, done.output
    assert done.output.strip().startswith("Usage:")
    assert command.help.endswith(".")
    # The list of commands is printed without importing them, so its lines are written apart.
    assert COMMANDS[name].help.endswith(".")
    for parameter in command.params:
        assert parameter.help, f"{name}: {parameter.name} is not explained"


def test_without_a_command_all_of_them_are_listed() -> None:
    done = CliRunner().invoke(cli, [])

    for command in COMMANDS:
        assert command in done.output


def test_version_is_that_of_the_package() -> None:
    done = CliRunner().invoke(cli, ["--version"])

    assert done.exit_code == 0
    assert done.output == f"likeperson-sync {version('likeperson-sync')}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["token", "--operator"]])
def test_quick_commands_import_no_heavy_package(arguments: list[str], tmp_path: Path) -> None:
    """Each of these packages takes longer to import than such a command may take."""
    heavy = {"sqlalchemy", "strawberry", "graphql", "httpx", "starlette", "uvicorn", "alembic"}
    program = "import sys\nfrom app.commands.cli import main\n"
    program += f"sys.argv[1:] = {arguments}\n"
    program += "try: main()\nexcept SystemExit as end: print(end.code, *sys.modules)"

    done = subprocess.run(  # noqa: S603 -- our own words
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )

    code, *modules = done.stdout.splitlines()[-1].split()
    assert code == "0"
    assert heavy.isdisjoint(modules)


async def test_token_is_taken_by_a_running_service(service: Service, tmp_path: Path) -> None:
    member, operator = await asyncio.gather(
        run(tmp_path, "token", "--member", "6d81597f-0f9f-e711-8122-000d3aa2331c"),
        run(tmp_path, "token", "--operator", "--hours", "1"),
    )

    assert (member.code, operator.code) == (0, 0)
    by_member = await service.ask("{ viewer { accessLevel } }", token=member.out.strip())
    by_operator = await service.ask("{ viewer { accessLevel } }", token=operator.out.strip())
    assert by_member["errors"][0]["extensions"]["reason"] == "MEMBER_UNKNOWN"
    assert by_operator == {"data": {"viewer": {"accessLevel": "ADMIN"}}}


async def test_token_is_for_a_member_or_an_operator_but_not_both(tmp_path: Path) -> None:
    neither, both, empty, blank = await asyncio.gather(
        run(tmp_path, "token"),
        run(tmp_path, "token", "--operator", "--member", "x"),
        run(tmp_path, "token", "--member", ""),
        run(tmp_path, "token", "--member", " "),
    )

    for refused in (neither, both, empty, blank):
        assert refused.code == 2
        assert "--member PORTAL_ID or --operator" in refused.err
        assert refused.out == ""


@pytest.mark.parametrize("hours", ["inf", "1e12", "nan", "0", "-1"])
def test_token_is_valid_for_a_time_that_has_an_end(hours: str) -> None:
    done = CliRunner().invoke(cli, ["token", "--operator", "--hours", hours])

    assert done.exit_code == 2
    assert "--hours" in done.output


@pytest.mark.parametrize("hours", ["24.1", "8760"])
async def test_token_of_an_operator_is_short_in_production(hours: str, tmp_path: Path) -> None:
    secret = "a secret of our own that has 32 bytes"
    production = {"env": "production", "auth_secret": secret, "sources": "{}"}

    refused, day, member, development = await asyncio.gather(
        run(tmp_path, "token", "--operator", "--hours", hours, **production),
        run(tmp_path, "token", "--operator", "--hours", "24", **production),
        run(tmp_path, "token", "--member", "x", "--hours", hours, **production),
        run(tmp_path, "token", "--operator", "--hours", hours),
    )

    assert (refused.code, refused.out) == (2, "")
    assert f"at most 24 hours; got {hours}." in " ".join(refused.err.split())
    assert [done.code for done in (day, member, development)] == [0, 0, 0]


async def test_link_of_a_token_holds_a_code_that_works_once(
    service: Service, tmp_path: Path
) -> None:
    port = service.url.rpartition(":")[2]

    done = await run(tmp_path, "token", "--operator", "--link", port=port, host="0.0.0.0")  # noqa: S104

    base, _, code = done.out.strip().partition("/#code=")
    assert base == f"http://127.0.0.1:{port}"
    answer = await service.http.post(f"{service.url}/sign-in", json={"code": code})
    token = answer.json()["token"]
    data = await service.data("{ viewer { accessLevel } }", token=token)
    assert data == {"viewer": {"accessLevel": "ADMIN"}}


async def test_schema_is_exported_to_a_file_or_to_the_screen(tmp_path: Path) -> None:
    on_screen, in_file = await asyncio.gather(
        run(tmp_path, "export-schema"), run(tmp_path, "export-schema", "-o", "schema.graphql")
    )

    assert (on_screen.code, in_file.code) == (0, 0)
    assert on_screen.out == build_schema().as_str() + "\n"
    assert (tmp_path / "schema.graphql").read_text(encoding="utf-8") == on_screen.out
    assert in_file.out == ""


async def test_database_is_migrated_and_may_be_twice(tmp_path: Path) -> None:
    first = await run(tmp_path, "migrate")
    second = await run(tmp_path, "migrate")

    assert (first.code, second.code) == (0, 0)
    assert first.out == second.out
    assert "schema" in first.out
    assert (tmp_path / "var" / "likeperson.db").is_file()


async def test_simulation_says_what_became_of_its_events(service: Service, tmp_path: Path) -> None:
    arguments = ["--members", "20", "--events", "15", "--duplicates", "0.2", "--shuffle", "3"]

    done = await run(tmp_path, "simulate", service.url, *arguments)

    assert done.code == 0, done.err
    counts = {
        name: int(count) for name, count in re.findall(r"^ *(\w+) +(\d+)", done.out, re.MULTILINE)
    }
    assert counts["sent"] == counts["accepted"] >= 35
    assert counts["created"] >= 20
    assert "refused" not in done.out
    assert re.search(r"ack +p50 [\d.]+ ms, p99 [\d.]+ ms", done.out)
    data = await service.data("{ members { totalCount } syncHealth { healthy } }")
    assert data["members"]["totalCount"] >= 20
    assert data["syncHealth"]["healthy"] is True


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_###", "whsec_" + 5 * "a"])
async def test_simulation_wants_a_secret_that_is_one(tmp_path: Path, secret: str) -> None:
    done = await run(tmp_path, "simulate", "http://127.0.0.1:1", "--secret", secret)

    assert done.code == 2
    assert "--secret" in done.err
    assert "followed by base64" in done.err


async def test_simulation_stops_at_the_first_delivery_that_is_refused_for_its_secret(
    service: Service, tmp_path: Path
) -> None:
    secret = "whsec_" + "c29tZSBvdGhlciBzZWNyZXQ="
    arguments = ["--members", "300", "--concurrency", "2", "--secret", secret]

    done = await run(tmp_path, "simulate", service.url, *arguments)

    assert done.code == 1
    assert re.search(r"^refused   [12] with HTTP 401$", done.out, re.MULTILINE)
    assert f"Stopped: {service.url}/webhooks/portal answers 401." in done.err
    assert "--secret" in done.err
    assert (await service.data("{ members { totalCount } }"))["members"]["totalCount"] == 0


async def test_simulation_takes_the_address_of_the_service_or_of_its_webhook(
    service: Service, tmp_path: Path
) -> None:
    small = ["--members", "1", "--events", "0", "--concurrency", "1"]
    secret = ["--secret", DEVELOPMENT_WEBHOOK_SECRET]

    base, webhook, unknown, wrong = await asyncio.gather(
        run(tmp_path, "simulate", f"{service.url}/", *small),
        run(tmp_path, "simulate", f"{service.url}/webhooks/portal", *small),
        run(tmp_path, "simulate", f"{service.url}/webhooks/other", *small),
        run(tmp_path, "simulate", f"{service.url}/webhooks/other", *small, *secret),
    )

    for done in (base, webhook):
        assert done.code == 0, done.err
        assert "accepted  1" in done.out
    assert (unknown.code, unknown.out) == (1, "")
    assert "LIKEPERSON_SOURCES has no source `other`" in unknown.err
    assert wrong.code == 1
    assert "refused   1 with HTTP 404" in wrong.out
    assert f"Stopped: {service.url}/webhooks/other answers 404." in wrong.err


async def test_log_shows_what_a_sender_wrote_as_plain_text(
    service: Service, tmp_path: Path
) -> None:
    hostile = "[/type][red][link=https://evil.example]x[/link] :smile:"
    sent = await service.deliver({**created("Kari"), "type": hostile})
    assert sent.status_code == 200
    database_url = service.settings.database_url

    table, lines = await asyncio.gather(
        run(tmp_path, "log", database_url=database_url),
        run(tmp_path, "log", "--json", database_url=database_url),
    )

    assert (table.code, lines.code) == (0, 0), table.err + lines.err
    assert hostile in table.out
    assert json.loads(lines.out)["eventType"] == hostile


@pytest.mark.parametrize("url", ["nonsense", "http://", "ftp://127.0.0.1", "http://127.0.0.1:b"])
def test_simulation_is_sent_to_a_url(url: str) -> None:
    done = CliRunner().invoke(cli, ["simulate", url])

    assert done.exit_code == 2
    assert f"{url!r} is not a URL" in done.output


async def test_simulation_without_a_service_says_that_nobody_answered(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

        done = await run(tmp_path, "simulate", "--members", "2", "--events", "0", port=str(port))

    assert done.code == 1
    assert f"http://127.0.0.1:{port} has accepted nothing: no answer." in done.err
    assert "Traceback" not in done.err
    assert "refused   2 with no answer" in done.out


@pytest.mark.parametrize(
    "zone", [timezone(timedelta(hours=5)), timezone(-timedelta(hours=5)), None]
)
async def test_time_is_in_the_zone_it_has_and_else_in_utc(
    service: Service, tmp_path: Path, zone: timezone | None
) -> None:
    await service.tell(created("Kari"))
    now, minute = datetime.now(UTC).astimezone(zone or UTC), timedelta(minutes=1)
    if zone is None:
        now = now.replace(tzinfo=None)
    around = ["--since", (now - minute).isoformat(), "--before", (now + minute).isoformat()]
    database_url = service.settings.database_url

    shown, later, counted = await asyncio.gather(
        run(tmp_path, "log", "--json", *around, database_url=database_url),
        run(
            tmp_path,
            *("log", "--json", "--since", (now + minute).isoformat()),
            database_url=database_url,
        ),
        run(tmp_path, "replay", "--dry-run", *around, database_url=database_url),
    )

    assert len(shown.out.splitlines()) == 1, shown.err
    assert (later.code, later.out) == (0, ""), later.err
    assert "1 event(s) match." in counted.out, counted.err


@pytest.mark.parametrize("text", ["5", "1763890200", "tomorrow", "", "0001-01-01T00:00:00+02:00"])
def test_what_is_no_time_is_refused(text: str) -> None:
    done = CliRunner().invoke(cli, ["log", "--since", text])

    assert done.exit_code == 2
    assert "--since" in done.output
    assert f"{text!r} is not a time" in " ".join(done.output.split())


async def test_service_says_where_it_is_when_it_has_picked_the_port(tmp_path: Path) -> None:
    process = await start(tmp_path, "serve", "--port", "0", log_level="error")
    try:
        assert process.stderr is not None
        line = await asyncio.wait_for(process.stderr.readline(), START_SECONDS)
        found = re.search(r"http://\S+", line.decode())
        assert found, line

        async with httpx.AsyncClient() as http:
            assert (await http.get(f"{found[0]}/readyz")).is_success
    finally:
        process.terminate()
        await process.communicate()


async def test_service_ends_in_order_however_often_it_is_interrupted(tmp_path: Path) -> None:
    process = await start(tmp_path, "serve", "--port", "0", log_level="info")
    try:
        assert process.stderr is not None
        lines = process.stderr
        while (
            found := re.search(rb"listens on http://(\S+):(\d+)", await lines.readline())
        ) is None:
            assert not lines.at_eof()
        _, writer = await asyncio.open_connection(found[1].decode(), int(found[2]))
        writer.write(b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
        await writer.drain()

        for _ in range(2):
            process.send_signal(SIGINT)
            await asyncio.sleep(0.01)  # Signals that are sent at once arrive as one.
        _, err = await asyncio.wait_for(process.communicate(), START_SECONDS)
        writer.close()
    finally:
        if process.returncode is None:
            process.kill()

    assert process.returncode == 0
    assert b"Traceback" not in err, err.decode()


@pytest.mark.parametrize("command", ["serve", "demo"])
async def test_busy_port_is_named(command: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]

        done = await run(tmp_path, command, "--port", str(port))

    assert done.code == 1
    assert f"127.0.0.1:{port}" in done.err
    assert "--port" in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "var").exists()


async def test_wrong_setting_is_a_sentence_and_no_traceback(tmp_path: Path) -> None:
    done = await run(tmp_path, "serve", port="many")

    assert done.code == 1
    assert done.err.startswith("LIKEPERSON_PORT: ")
    assert "Traceback" not in done.err


async def test_production_does_not_start_with_the_secrets_of_development(tmp_path: Path) -> None:
    done = await run(tmp_path, "serve", "--port", "0", env="production")

    assert done.code == 1
    assert "LIKEPERSON_AUTH_SECRET" in done.err
    assert "LIKEPERSON_SOURCES" in done.err
    assert not (tmp_path / "var").exists()


async def test_old_schema_on_postgresql_names_the_command_that_helps(
    postgres_url: str, tmp_path: Path
) -> None:
    # A database that nobody has migrated: the one which every server has for maintenance.
    empty = postgres_url.rpartition("/")[0] + "/postgres"

    done = await run(tmp_path, "serve", "--port", "0", database_url=empty)

    assert done.code == 1
    assert "likeperson-sync migrate" in done.err
    assert "Traceback" not in done.err


NOT_REACHED = "The database of LIKEPERSON_DATABASE_URL cannot be reached: "


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["migrate"], ["log"]], ids=" ".join)
async def test_database_that_is_away_is_a_sentence_and_no_traceback(
    command: list[str], tmp_path: Path
) -> None:
    away = "postgresql+asyncpg://postgres:p4ssword@127.0.0.1:1/likeperson"

    done = await run(tmp_path, *command, database_url=away)

    assert done.code == 1
    (line,) = done.err.splitlines()
    assert line.startswith(NOT_REACHED)
    assert "[Errno" in line
    assert "p4ssword" not in line


async def test_database_that_does_not_exist_is_a_sentence_in_the_words_of_postgresql(
    postgres_url: str, tmp_path: Path
) -> None:
    missing = postgres_url.rpartition("/")[0] + "/nowhere"

    done = await run(tmp_path, "serve", "--port", "0", database_url=missing)

    assert done.code == 1
    assert done.err.splitlines() == [f'{NOT_REACHED}database "nowhere" does not exist']


@pytest.mark.parametrize("command", ["serve", "demo", "log", "migrate", "worker"])
async def test_file_that_is_no_database_is_named(command: str, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("These are notes, and they shall stay.\n" * 100)
    before = file.read_bytes()

    done = await run(
        tmp_path, command, port="0", database_url=f"sqlite+aiosqlite:///{file.resolve()}"
    )

    assert done.code == 1
    assert f"{file.resolve()} is not an SQLite database." in done.err
    assert "Traceback" not in done.err
    assert file.read_bytes() == before


@pytest.mark.parametrize("command", ["serve", "demo", "log", "migrate", "worker"])
async def test_folder_that_cannot_be_made_is_named(command: str, tmp_path: Path) -> None:
    (tmp_path / "var").write_text("in the way")

    done = await run(tmp_path, command, port="0")

    assert done.code == 1
    assert "Cannot use var: " in done.err
    assert "Traceback" not in done.err


async def test_schema_is_not_exported_to_where_no_file_can_be(tmp_path: Path) -> None:
    absent = str(tmp_path / "absent" / "schema.graphql")

    nowhere, folder = await asyncio.gather(
        run(tmp_path, "export-schema", "-o", absent),
        run(tmp_path, "export-schema", "-o", str(tmp_path)),
    )

    assert (nowhere.code, folder.code) == (1, 1)
    assert nowhere.err == f"Cannot use {absent}: No such file or directory.\n"
    assert folder.err == f"Cannot use {tmp_path}: Is a directory.\n"


@pytest.mark.parametrize(
    ("uid", "actor"), [(0, "command line (uid 0, root)"), (54321, "command line (uid 54321)")]
)
async def test_replay_records_the_user_of_the_process_whatever_the_environment_says(
    uid: int, actor: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.tell(created("Kari"))
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody else")
    monkeypatch.setenv("LIKEPERSON_DATABASE_URL", service.settings.database_url)
    monkeypatch.setattr("os.getuid", lambda: uid)

    done = await asyncio.to_thread(
        CliRunner().invoke, cli, ["replay", "--yes", "--since", "2026-01-01"]
    )

    assert done.exit_code == 0, done.output
    data = await service.data("{ syncLog { edges { node { attemptHistory { actor } } } } }")
    (edge,) = data["syncLog"]["edges"]
    assert actor in [attempt["actor"] for attempt in edge["node"]["attemptHistory"]]


ATTEMPTS = "{ syncLog { edges { node { eventType attempts } } } }"


@pytest.fixture
def replaying(service: Service, monkeypatch: pytest.MonkeyPatch) -> Replaying:
    """Runs `replay`; `answer` is typed when it asks."""
    monkeypatch.setenv("LIKEPERSON_DATABASE_URL", service.settings.database_url)

    async def typed(*options: str, answer: str = "") -> Result:
        return await asyncio.to_thread(CliRunner().invoke, cli, ["replay", *options], input=answer)

    return typed


async def test_replay_of_everything_must_be_meant(service: Service, replaying: Replaying) -> None:
    await service.tell(created("Kari"))
    before = await service.data(ATTEMPTS)

    done = [await replaying(*options) for options in (["--yes"], ["--dry-run"], ["--reason", "x"])]

    for refused in done:
        assert refused.exit_code == 2
        assert "Say which events" in refused.output
    assert await service.data(ATTEMPTS) == before


async def test_replay_asks_first_and_does_nothing_without_a_yes(
    service: Service, replaying: Replaying
) -> None:
    await service.tell(created("Kari"))
    before = await service.data(ATTEMPTS)

    for answer in ("n\n", "\n", ""):
        done = await replaying("--type", "membership-created", answer=answer)

        assert "Replay them?" in done.output
        assert "replayed" not in done.output
        assert await service.data(ATTEMPTS) == before

    agreed = await replaying("--type", "membership-created", answer="y\n")

    assert agreed.exit_code == 0, agreed.output
    assert "1 event(s) replayed" in agreed.output
    assert await service.data(ATTEMPTS) != before


async def test_dry_run_of_a_replay_asks_nothing_and_changes_nothing(
    service: Service, replaying: Replaying
) -> None:
    await service.tell(created("Kari"))
    before = await service.data(ATTEMPTS)

    done = await replaying("--dry-run", "--type", "membership-created")

    assert done.exit_code == 0, done.output
    assert "Replay them?" not in done.output
    assert "1 event(s) would be replayed" in done.output
    assert await service.data(ATTEMPTS) == before
