"""Alerts reach a real mail server, and a heartbeat a real web server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from app.alerts.heartbeat import WatchmanPing
from app.server import running
from app.settings import Settings, SettingsError, load_settings
from db.feed.bell import BroadcastBell
from db.feed.change_feed import LiveFeed
from sync.concerns.concern_texts import TEXTS
from tests.faults.process import until
from tests.support.brokers import free_port
from tests.support.builders import created
from tests.support.commands import run
from tests.support.opened import opened
from tests.support.service import DEADLINE, Service


class Mails:
    """What a mail server has taken."""

    def __init__(self) -> None:
        self.taken: list[EmailMessage] = []
        self.recipients: list[str] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        self.taken.append(message_from_bytes(envelope.content, policy=policy.default))
        self.recipients += envelope.rcpt_tos
        return "250 OK"

    def body(self) -> str:
        (mail,) = self.taken
        part = mail.get_body(("plain",))
        assert part is not None
        return str(part.get_content())


@pytest.fixture
def mails() -> Mails:
    return Mails()


@pytest.fixture
def mail_url(mails: Mails) -> Iterator[str]:
    controller = import_module("aiosmtpd.controller").Controller(
        mails, hostname="127.0.0.1", port=free_port()
    )
    controller.start()
    yield (
        f"mailto://127.0.0.1:{controller.port}/?mode=insecure&format=text"
        "&from=sync@hlf.example&to=drift@hlf.example"
    )
    controller.stop()


async def test_concern_of_the_service_arrives_as_a_mail_with_what_to_do_and_a_link(
    settings: Settings, mail_url: str, mails: Mails
) -> None:
    async with running(settings) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        await Service(url, http, settings).tell(created("Kari"))
    told = {
        "alerts": load_settings(alerts=mail_url).alerts,
        "public_url": "https://sync.example/",
        "longest_silence_hours": 1e-9,
    }

    async with running(settings.model_copy(update=told)) as url:

        async def arrived() -> bool:
            return bool(mails.taken)

        await until(arrived)
        async with httpx.AsyncClient(timeout=DEADLINE) as http:
            # The page that the link names, at the address where the service is in this test.
            page = await http.get(
                f"{url}/{mails.body().rpartition('https://sync.example/')[2].strip()}"
            )

    assert page.status_code == HTTPStatus.OK
    assert page.headers["content-type"].startswith("text/html")
    assert mails.recipients == ["drift@hlf.example"]
    silence = TEXTS["SILENCE"]
    assert silence.norwegian in str(mails.taken[0]["subject"])
    assert silence.norwegian_advice in mails.body()
    assert silence.english_advice in mails.body()
    assert "https://sync.example/driftsstatus" in mails.body()
    assert "Kari" not in mails.body()


async def test_addresses_can_be_tried(mail_url: str, mails: Mails, tmp_path: Path) -> None:
    nobody = f"mailto://127.0.0.1:{free_port()}/?mode=insecure&from=a@b.example&to=c@d.example"
    file = tmp_path / "alerts"
    file.write_text(f"{mail_url}\n{nobody}\n")

    both = await run(tmp_path, "try-alerts", alerts_file=str(file))
    one = await run(tmp_path, "try-alerts", alerts=mail_url)
    none = await run(tmp_path, "try-alerts")

    assert (both.code, one.code, none.code) == (1, 0, 1)
    assert "1 of 2 address(es)" in both.out
    assert "no. 2 of LIKEPERSON_ALERTS" in both.err
    assert "d.example" not in both.err
    assert "names nobody" in none.err
    assert len(mails.taken) == 2


def test_address_that_apprise_does_not_know_is_refused_and_not_shown() -> None:
    with pytest.raises(SettingsError, match=r"LIKEPERSON_ALERTS: no\. 2 is not a URL") as refusal:
        load_settings(alerts="json://ok.example carrier-pigeon://secret@x")

    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "given",
    [
        {"alerts_quiet": "night"},
        {"heartbeat_url": "ftp://x/secret"},
        {"public_url": "sync.example"},
    ],
)
def test_settings_of_alerts_that_cannot_be_used_are_refused(given: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=f"LIKEPERSON_{next(iter(given)).upper()}") as refusal:
        load_settings(**given)

    assert "secret" not in str(refusal.value)


class Watchman:
    """A web server that counts the pings it gets."""

    def __init__(self) -> None:
        self.pings = asyncio.Semaphore(0)
        self.url = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Self]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET /secret "):
                self.pings.release()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/secret"
            yield self

    async def pinged(self) -> None:
        await asyncio.wait_for(self.pings.acquire(), DEADLINE)


async def test_watchman_is_pinged_by_a_service_that_is_well(settings: Settings) -> None:
    async with Watchman().listening() as watchman:
        heartbeat = load_settings(heartbeat_url=watchman.url).heartbeat_url

        async with running(settings.model_copy(update={"heartbeat_url": heartbeat})):
            await watchman.pinged()


async def test_watchman_hears_nothing_while_nothing_can_be_written_or_read(
    database_url: str,
) -> None:
    """The beats go on, and those that find nothing wrong ping."""
    bell = BroadcastBell("memory://")
    async with (
        Watchman().listening() as watchman,
        bell,
        opened(database_url) as database,
        LiveFeed(database, bell) as feed,
    ):
        heartbeat = WatchmanPing(watchman.url, database, feed, lambda: datetime.now(UTC))
        assert await heartbeat.is_well()

        engine = create_async_engine(database_url)
        async with engine.begin() as connection:
            await connection.execute(text("ALTER TABLE alert_states RENAME TO gone"))
        unwritable = await heartbeat.is_well()
        async with engine.begin() as connection:
            await connection.execute(text("ALTER TABLE gone RENAME TO alert_states"))
        mended = await heartbeat.is_well()
        await engine.dispose()

    assert not unwritable
    assert mended
    assert not await heartbeat.is_well()  # The feed is no longer read.
