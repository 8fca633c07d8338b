"""The examples for nginx and Caddy before a real service: TLS, sockets and streams."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from gql import Client, gql
from gql.transport.websockets import WebsocketsTransport

from app.server import running
from app.settings import Settings
from tests.app.doctor.test_examination import certificate_until
from tests.faults.process import until
from tests.support.brokers import free_port
from tests.support.builders import created
from tests.support.commands import ROOT
from tests.support.service import DEADLINE, Service

pytestmark = pytest.mark.child_process

PROXIES = ROOT / "deploy" / "proxy"
SUBSCRIPTION = "subscription { memberChanges { __typename } }"
NGINX_FRAME = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr warn;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  include {folder}/site.conf;
}}
"""


@dataclass
class Behind:
    """A service behind a proxy. `log` is the proxy's."""

    url: str
    service: Service
    tls: ssl.SSLContext
    log: Path

    def __post_init__(self) -> None:
        self.proxied = Service(self.url, self.service.http, self.service.settings)


def _nginx(folder: Path, certificate: Path, port: int, upstream: str) -> list[str]:
    site = (PROXIES / "nginx.conf").read_text(encoding="utf-8")
    for written, here in (
        ("listen 443 ssl http2;\n    listen [::]:443 ssl http2;", f"listen {port} ssl http2;"),
        ("listen 80;\n    listen [::]:80;", f"listen {free_port()};"),
        ("server 127.0.0.1:8000 ", f"server {upstream} "),
        ("/etc/ssl/likeperson-sync/certificate.pem", str(certificate)),
        ("/etc/ssl/likeperson-sync/key.pem", str(certificate)),
        ("/var/log/nginx/likeperson-sync.log", str(folder / "access.log")),
    ):
        assert written in site, written
        site = site.replace(written, here)
    (folder / "site.conf").write_text(site)
    (folder / "nginx.conf").write_text(NGINX_FRAME.format(folder=folder))
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def _caddy(folder: Path, certificate: Path, port: int, upstream: str) -> list[str]:
    site = (PROXIES / "Caddyfile").read_text(encoding="utf-8")
    for written, here in (
        ("sync.example {", f"https://127.0.0.1:{port} {{\n\ttls {certificate} {certificate}"),
        ("reverse_proxy 127.0.0.1:8000", f"reverse_proxy {upstream}"),
        ("\tlog {\n", f"\tlog {{\n\t\toutput file {folder}/access.log\n"),
    ):
        assert written in site, written
        site = site.replace(written, here)
    options = "{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}\n"
    (folder / "Caddyfile").write_text(options + site)
    return ["caddy", "run", "--config", str(folder / "Caddyfile")]


@pytest.fixture(params=["nginx", "caddy"])
def proxy(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed: apt-get install {name}")
    return name


@pytest.fixture
async def behind(proxy: str, sqlite_url: str, tmp_path: Path) -> AsyncIterator[Behind]:
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]  # pydantic-settings takes it at run time
        database_url=sqlite_url,
        port=0,
        log_level="warning",
        trusted_proxies=("127.0.0.1",),
        guarded=True,
        failures_per_minute=3,
    )
    folder = tmp_path / "proxy"
    folder.mkdir()
    certificate = certificate_until(datetime.now(UTC) + timedelta(days=30), folder)
    tls = ssl.create_default_context(cafile=str(certificate))
    port = free_port()
    async with running(settings) as url, httpx.AsyncClient(verify=tls, timeout=DEADLINE) as http:
        command = {"nginx": _nginx, "caddy": _caddy}[proxy](
            folder, certificate, port, url.removeprefix("http://")
        )
        with _process(command, folder):
            behind = Behind(
                f"https://127.0.0.1:{port}",
                Service(url, http, settings),
                tls,
                folder / "access.log",
            )

            async def answers() -> bool:
                try:
                    return (await http.get(behind.url)).status_code == httpx.codes.OK
                except httpx.TransportError:
                    return False

            await until(answers)
            yield behind


@asynccontextmanager
async def _stream(behind: Behind) -> AsyncIterator[httpx.Response]:
    request = behind.service.http.build_request(
        "POST",
        f"{behind.url}/graphql",
        json={"query": SUBSCRIPTION},
        headers={
            "Authorization": f"Bearer {behind.service.token()}",
            "Accept": "text/event-stream",
        },
    )
    response = await behind.service.http.send(request, stream=True)
    try:
        yield response
    finally:
        await response.aclose()


class _process:  # noqa: N801  (a context manager, used as a function)
    def __init__(self, command: list[str], folder: Path) -> None:
        self._command = command
        self._folder = folder

    def __enter__(self) -> None:
        environment = {"HOME": str(self._folder), "PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/bin"}
        with (self._folder / "log").open("wb") as log:
            self._running = subprocess.Popen(  # noqa: S603 -- a program of Debian
                self._command, stdout=log, stderr=log, env=environment, cwd=self._folder
            )

    def __exit__(self, *_: object) -> None:
        self._running.kill()
        self._running.wait()


async def test_webhook_and_console_go_through_with_tls(behind: Behind) -> None:
    delivered = await behind.proxied.deliver(created("Kari"))
    page = await behind.service.http.get(behind.url)

    assert delivered.status_code == 200
    assert page.status_code == 200
    # The service believes the proxy that the browser came over HTTPS.
    assert "strict-transport-security" in page.headers


async def test_event_stream_is_not_held_back(behind: Behind) -> None:
    async with _stream(behind) as response, asyncio.timeout(DEADLINE):
        lines = response.aiter_lines()
        while "StreamHeartbeat" not in await anext(lines):
            pass
        await behind.proxied.tell(created("Kari"))
        while "MemberChange" not in await anext(lines):
            pass


async def test_web_socket_goes_through(behind: Behind) -> None:
    transport = WebsocketsTransport(
        url=behind.url.replace("https", "wss", 1) + "/graphql",
        init_payload={"authorization": f"Bearer {behind.service.token()}"},
        subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],
        ssl=behind.tls,
    )
    async with Client(transport=transport) as session:
        messages = session.subscribe(gql(SUBSCRIPTION))
        first = await asyncio.wait_for(anext(messages), DEADLINE)
        await behind.proxied.tell(created("Kari"))
        second = await asyncio.wait_for(anext(messages), DEADLINE)
        await messages.aclose()

    assert first["memberChanges"]["__typename"] == "StreamHeartbeat"
    assert second["memberChanges"]["__typename"] == "MemberChange"


async def test_nobody_gets_another_rate_by_claiming_an_address(behind: Behind) -> None:
    answers = [
        await behind.proxied.deliver(
            created("Kari"), webhook_signature="v1,AAAA", x_forwarded_for=f"192.0.2.{number}"
        )
        for number in range(5)
    ]

    assert [answer.status_code for answer in answers] == [401, 401, 401, 503, 503]


async def test_what_is_for_inside_is_closed_and_what_is_too_large_is_refused(
    behind: Behind,
) -> None:
    for path in ("/metrics", "/readyz", "/healthz"):
        assert (await behind.service.http.get(behind.url + path)).status_code == 404

    large = await behind.proxied.deliver(b"x" * 3_000_000)
    large_for_us = await behind.proxied.deliver(b"x" * 1_500_000)

    assert large.status_code == 413
    assert large_for_us.status_code == 413


async def test_key_of_a_sender_does_not_reach_the_log(behind: Behind) -> None:
    await behind.service.http.post(f"{behind.url}/webhooks/portal?code=topsecret")

    async def is_logged() -> bool:
        return behind.log.exists() and "/webhooks/portal" in behind.log.read_text()

    await until(is_logged)
    assert "topsecret" not in behind.log.read_text()
