"""The examination of set-ups that are broken in earnest."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import make_url

from app.doctor.diagnosis import Diagnosis, Verdict
from app.doctor.examination import examination
from db.driver.urls import sqlite_file
from db.queries.log.refusal_counts import RefusalCount, add_refusals
from db.upkeep.privileges import grants
from sync.recording.record import record_deliveries
from tests.db.upkeep.test_privileges import as_owner
from tests.faults.process import ServiceProcess
from tests.support.brokers import RedisBroker, free_port, redis_binary
from tests.support.builders import created
from tests.support.commands import run
from tests.support.dataverse import TOKEN, simulated_dataverse
from tests.support.opened import opened
from tests.support.postgres import PostgresCluster
from tests.sync.recorded_events import delivery

AUTH_SECRET = "a secret of our own that has 32 bytes"
WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"another secret of our own").decode()


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Settings:
    """Sets the environment from which the examination reads."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def __call__(self, **given: str) -> None:
        for name, value in given.items():
            self._patch.setenv(f"LIKEPERSON_{name.upper()}", value)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Settings:
    return Settings(monkeypatch)


async def findings(area: str | None = None) -> list[Diagnosis]:
    found = [diagnosis async for diagnosis in examination()]
    return [it for it in found if area in (None, it.area)]


def not_right(found: list[Diagnosis]) -> list[tuple[Verdict, str]]:
    for it in found:
        assert bool(it.advice) is (it.verdict is not Verdict.RIGHT), it
    return [(it.verdict, it.what) for it in found if it.verdict is not Verdict.RIGHT]


async def test_everything_is_right_on_a_server_as_in_production(given: Settings) -> None:
    sources = {"portal": {"scheme": "standard-webhooks", "secrets": [WEBHOOK_SECRET]}}
    with PostgresCluster(durable=True) as cluster:
        cluster.execute("CREATE ROLE service LOGIN")
        owner_url = cluster.create_database("likeperson")
        url = make_url(owner_url).set(username="service").render_as_string()
        given(
            env="production",
            auth_secret=AUTH_SECRET,
            sources=json.dumps(sources),
            national_body="hlf",
            database_url=url,
        )
        unmigrated = await findings("schema")
        migrated = await run(Path(), "migrate", database_url=owner_url)
        assert migrated.code == 0, migrated.err
        ungranted = await findings("role")
        async with as_owner(owner_url) as owner:
            await owner.execute("\n".join(grants("service")))
        async with opened(url) as database:
            heard = delivery(created("Kari"), "evt_1", received_at=datetime.now(UTC))
            await record_deliveries(database, [heard])

        found = await findings()
        done = await run(Path(), "doctor")

    assert not_right(found) == []
    assert done.code == 0
    assert "PostgreSQL" in done.out
    assert [verdict for verdict, _ in not_right(unmigrated)] == [Verdict.WRONG]
    ((verdict, lacking),) = not_right(ungranted)
    assert verdict is Verdict.WRONG
    assert "service lacks" in lacking


async def test_server_that_forgets_at_a_loss_of_power_is_wrong(
    given: Settings, postgres_url: str
) -> None:
    given(database_url=postgres_url)

    found = not_right(await findings("database"))
    roles = not_right(await findings("role"))

    assert {what.split()[0] for _, what in found} == {
        *("fsync", "full_page_writes", "autovacuum", "synchronous_commit")
    }
    assert {verdict for verdict, _ in found} == {Verdict.WRONG}
    assert roles == [(Verdict.DOUBTFUL, "The role postgres is a superuser")]


async def test_server_that_takes_no_writes_or_not_all_letters_is_wrong(
    given: Settings, postgres: PostgresCluster
) -> None:
    postgres.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    postgres.execute("ALTER DATABASE latin SET default_transaction_read_only = on")
    postgres.execute("ALTER DATABASE latin SET statement_timeout = '5s'")
    given(database_url=postgres.url_of("latin"), database_pool_size="200")

    found = [what for _, what in not_right(await findings("database"))]
    postgres.drop_database("latin")

    assert any("takes no writes" in what for what in found)
    assert any("encoded in LATIN1" in what for what in found)
    assert any("statement_timeout is 5000 ms" in what for what in found)
    assert any("up to 205 of 200 connections" in what for what in found)


async def test_server_that_is_not_there_is_told_without_the_password(given: Settings) -> None:
    given(database_url=f"postgresql+asyncpg://kari:p4ssword@127.0.0.1:{free_port()}/x")

    found = await findings()

    ((verdict, what),) = not_right([it for it in found if it.area == "database"])
    assert verdict is Verdict.WRONG
    assert "LIKEPERSON_DATABASE_URL cannot be reached" in what
    assert "p4ssword" not in str(found)


async def test_every_wrong_setting_is_a_line_and_nothing_else_is_tried(
    given: Settings, tmp_path: Path
) -> None:
    given(port="many", log_level="loud", env="staging")

    found = await findings()
    done = await run(tmp_path, "doctor")

    assert {it.area for it in found} == {"settings"}
    assert len(not_right(found)) == 3
    assert done.code == 1
    assert done.out.count("wrong") == 3
    assert "Traceback" not in done.out + done.err


async def test_database_file_is_neither_made_nor_migrated(given: Settings, tmp_path: Path) -> None:
    given(database_url=f"sqlite+aiosqlite:///{tmp_path}/new/likeperson.db")

    found = await findings()

    assert any("does not exist yet" in it.what for it in found)
    assert not (tmp_path / "new").exists()


async def test_file_that_others_can_read_or_that_is_no_database_is_told(
    given: Settings, sqlite_url: str
) -> None:
    given(database_url=sqlite_url)
    file = sqlite_file(sqlite_url)
    assert file is not None
    file.chmod(0o644)

    ((verdict, what), *_) = not_right(await findings("machine"))
    file.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    ((schema, why),) = not_right(await findings("schema"))

    assert verdict is Verdict.DOUBTFUL
    assert "mode 0644" in what
    assert schema is Verdict.WRONG
    assert "is not an SQLite database" in why


async def test_sources_that_are_off_silent_or_refused_are_told(
    given: Settings, database_url: str
) -> None:
    def source(*secrets: str) -> dict[str, object]:
        return {"scheme": "standard-webhooks", "secrets": secrets}

    keys = [base64.b64encode(bytes([it]) * 24).decode() for it in range(3)]
    sources = {"off": source(), "portal": source(keys[0]), "other": source(keys[1])}
    given(database_url=database_url, sources=json.dumps(sources), longest_silence_hours="0.000001")
    now = datetime.now(UTC)
    async with opened(database_url) as database:
        await record_deliveries(database, [delivery(created("Kari"), "evt_1")])
        refused = RefusalCount("portal", "timestamp_stale", 7, now, 3600)
        async with database.write() as session:
            await add_refusals(session, [refused])

    found = [what for _, what in not_right(await findings("source"))]
    advice = [it.advice for it in await findings("source")]

    assert len(found) == 4
    assert "off has no secret" in found[0]
    assert any("other has never been heard" in what for what in found)
    assert any("portal was last heard at" in what for what in found)
    assert any("7 webhooks to portal were refused" in what for what in found)
    assert any("differs by 3600 s" in text for text in advice)


@pytest.fixture
def broker() -> Iterator[RedisBroker]:
    binary = redis_binary()
    assert binary is not None
    running = RedisBroker(binary)
    running.start()
    yield running
    running.stop()


async def test_broker_is_tried_from_end_to_end(
    given: Settings, broker: RedisBroker, postgres_url: str
) -> None:
    given(database_url=postgres_url, broadcast_url=broker.url)
    up = await findings("broker")
    broker.stop()
    down = await findings("broker")
    given(broadcast_url=postgres_url)
    by_itself = await findings("broker")
    given(broadcast_url="memory://")
    deaf = await findings("broker")

    assert not_right([*up, *by_itself]) == []
    assert [verdict for verdict, _ in not_right(down)] == [Verdict.WRONG]
    assert [verdict for verdict, _ in not_right(deaf)] == [Verdict.DOUBTFUL]


@asynccontextmanager
async def answering(body: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A web server that answers every request with the same body; yields its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        if await reader.read(65536):
            writer.write(head.encode() + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_provider_that_publishes_no_key_or_nothing_is_wrong(
    given: Settings, sqlite_url: str
) -> None:
    given(database_url=sqlite_url, auth_audience="x")
    async with answering(b'{"keys": []}') as port:
        given(auth_issuer="http://id.example", auth_jwks_url=f"http://127.0.0.1:{port}/")
        without_keys = not_right(await findings("provider"))
    away = not_right(await findings("provider"))

    assert without_keys == [(Verdict.WRONG, "The provider publishes no usable key")]
    ((verdict, what),) = away
    assert verdict is Verdict.WRONG
    assert what.startswith("The keys of the provider cannot be read")


def certificate_until(ends_at: datetime, folder: Path) -> Path:
    """Makes a certificate for 127.0.0.1 that signs itself; returns the file with its key."""
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(ends_at - timedelta(days=90))
        .not_valid_after(ends_at)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, SHA256())
    )
    file = folder / "certificate.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(made.public_bytes(Encoding.PEM) + private)
    return file


@pytest.mark.parametrize(
    ("days", "verdict"), [(60, Verdict.RIGHT), (5, Verdict.DOUBTFUL), (-1, Verdict.WRONG)]
)
async def test_certificate_that_ends_soon_is_told(
    days: int,
    verdict: Verdict,
    given: Settings,
    sqlite_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = certificate_until(datetime.now(UTC) + timedelta(days=days), tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    async with answering(b'{"keys": []}', tls) as port:
        url = f"https://127.0.0.1:{port}"
        given(database_url=sqlite_url, auth_audience="x", auth_issuer=url)

        (found,) = await findings("certificate")

    assert found.verdict is verdict, found


async def test_mapping_is_compared_with_its_environment(
    given: Settings, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with simulated_dataverse() as dataverse:
        mapping = tmp_path / "min-side.toml"
        text = dataverse.mapping_text().replace('"emailaddress1"', '"emailadress1"')
        mapping.write_text(text, encoding="utf-8")
        portal = {"scheme": "dataverse", "secrets": ["k" * 16], "mapping": str(mapping)}
        given(database_url=sqlite_url, sources=json.dumps({"min-side": portal}))
        monkeypatch.setenv("MINSIDE_TOKEN", TOKEN)

        found = await findings("mapping")

    assert (Verdict.WRONG, "min-side: the column emailadress1") in not_right(found)
    assert any("things are as the mapping says" in it.what for it in found)


async def test_start_in_production_logs_what_is_not_right_with_the_database(
    postgres_url: str, tmp_path: Path
) -> None:
    sources = {"portal": {"scheme": "standard-webhooks", "secrets": [WEBHOOK_SECRET]}}
    production = {
        "env": "production",
        "auth_secret": AUTH_SECRET,
        "sources": json.dumps(sources),
    }
    with ServiceProcess(postgres_url, tmp_path, **production) as process:
        process.start()
        await process.ready()
        log = process.log_file.read_text()

    assert "WARNING" in log
    assert "fsync is off. An event that was answered 200 can be lost with the power. Set" in log
