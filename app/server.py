"""Runs the application under uvicorn, with the options that the service was measured with."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from signal import SIGTERM
from typing import Any

import uvicorn
from starlette.applications import Starlette

from app.graphql.http import MAX_BODY_BYTES
from app.graphql.websocket_protocol import DirectProtocol
from app.main import create_app
from app.services import Services
from app.settings import Settings

GRACE_SECONDS = 10


class PortInUseError(Exception):
    pass


def configure_logging(settings: Settings) -> None:
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # Drivers and clients tell every step at INFO.
    for noisy in ("httpx", "httpcore", "alembic", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class Server(uvicorn.Server):
    """Ends with exit code 0 when it is told to stop by SIGTERM, since that is no failure."""

    def __init__(
        self, config: uvicorn.Config, app: Starlette, started: Callable[[str], None]
    ) -> None:
        """`started` is told the URL, once connections are accepted."""
        super().__init__(config)
        self._app = app
        self._started = started

    @property
    def url(self) -> str:
        """Once it is started. The port is known only then: 0 picks a free one."""
        host = self.config.host
        port = self.servers[0].sockets[0].getsockname()[1]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._started(self.url)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # An answer that never ends by itself would be waited for.
        services: Services = self._app.state.services
        services.sessions.end()
        await super().shutdown(sockets)
        if self.force_exit:
            # Impatience ends the wait for connections. What is open is closed all the same.
            await self.lifespan.shutdown()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            try:
                yield
            finally:
                # uvicorn would raise each of them again: the process would die of SIGTERM, and a
                # second SIGINT would break into the end that the first one asks for.
                self._captured_signals = [s for s in self._captured_signals if s != SIGTERM][:1]


def make_server(settings: Settings, started: Callable[[str], None]) -> Server:
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        # When another process ends, its clients come all at once.
        backlog=8192,
        ws=DirectProtocol,
        # As much as a request over HTTP may hold.
        ws_max_size=MAX_BODY_BYTES,
        # It would more than double what a subscriber costs, in memory and in time.
        ws_per_message_deflate=False,
        # Heartbeats keep what is between us and the clients awake; this only finds the dead.
        ws_ping_interval=60,
        lifespan="on",
        access_log=False,
        log_config=None,
        log_level=settings.log_level,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    return Server(config, app, started)


def check_port(settings: Settings) -> None:
    """Raises PortInUseError, before anything was started."""
    if settings.port == 0:
        return
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise PortInUseError(
                f"Cannot listen on {settings.host}:{settings.port} ({error.strerror}). "
                "Choose another with --port."
            ) from error


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[str]:
    """The service, accepting connections at the URL it gives, until the block is left. If the
    service is told to stop before that, the block is ended."""
    block = asyncio.current_task()
    if block is None:
        raise RuntimeError("The service runs beside a task.")
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = make_server(settings, url.set_result)
    task = asyncio.create_task(server.serve(), name="server")

    def end_the_block(_: object) -> None:
        block.cancel()

    try:
        either: list[asyncio.Future[Any]] = [task, url]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not url.done():
            await task
            raise RuntimeError("The service did not start; see the log.")
        task.add_done_callback(end_the_block)
        yield url.result()
    except asyncio.CancelledError:
        if not task.done() or block.uncancel():
            raise
    finally:
        task.remove_done_callback(end_the_block)
        server.should_exit = True
        with suppress(asyncio.CancelledError):
            await task


def run_until_interrupted(work: Coroutine[Any, Any, None]) -> None:
    """Ctrl-C is how it is meant to end."""
    with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(work)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop, where there is one: a request costs about half as much on it."""
    if find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    return factory
