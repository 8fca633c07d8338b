"""Runs the application under uvicorn."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from signal import SIGTERM
from typing import Any

import uvicorn
from starlette.applications import Starlette

from app.edge.connection_bounds import ConnectionBounds, raise_descriptor_limit
from app.edge.http_protocol import HttpProtocol
from app.errors import CommandError
from app.graphql.http import MAX_BODY_BYTES
from app.graphql.websocket_protocol import WebSocketProtocol
from app.main import create_app
from app.services import Services
from app.settings import Settings
from app.workers.worker_place import WorkerPlace

GRACE_SECONDS = 10
DRAIN_SECONDS = 3.0
LISTENERS = 16
KEEP_ALIVE_SECONDS = 75
"""Longer than the 60 s of most proxies, which could send a request just as it is closed."""


class PortInUseError(CommandError):
    """Another program listens on the address."""


class Server(uvicorn.Server):
    """Ends with exit code 0 on SIGTERM, since being told to stop is no failure."""

    def __init__(
        self,
        config: uvicorn.Config,
        app: Starlette,
        started: Callable[[str], None],
        *,
        drain_seconds: float = 0,
    ) -> None:
        """Calls `started` with the URL once connections are accepted. `drain_seconds` is how
        long connections may be used for one more request when the server stops."""
        super().__init__(config)
        self._bounds = ConnectionBounds()
        self.server_state = self._bounds
        self._drain_seconds = drain_seconds
        self._app = app
        self._started = started

    @property
    def url(self) -> str:
        """The address it listens on, known once it has started: port 0 picks a free one."""
        host = self.config.host
        port = self.servers[0].sockets[0].getsockname()[1]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        raise_descriptor_limit()
        await super().startup(sockets)
        if self.started:
            await self._listen_more()
            self._started(self.url)

    async def _listen_more(self) -> None:
        """Adds listeners to the same sockets.

        uvloop accepts one connection of each listener in a turn of the loop. With a single one,
        every request waits behind a flood of connections.
        """
        loop = asyncio.get_running_loop()
        for listening in list(self.servers[0].sockets):
            for _ in range(LISTENERS - 1):
                # Only of a socket of TCP does asyncio send what is written at once (TCP_NODELAY);
                # else the second part of an answer waits 40 ms for the client to acknowledge.
                again = socket.fromfd(
                    listening.fileno(), listening.family, listening.type, socket.IPPROTO_TCP
                )
                server = await loop.create_server(
                    self._new_connection, sock=again, backlog=self.config.backlog
                )
                self.servers.append(server)

    def _new_connection(self) -> HttpProtocol:
        return HttpProtocol(self.config, self.server_state, self.lifespan.state)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Streams never end by themselves, and would be waited for.
        services: Services = self._app.state.services
        services.connections.close_all()
        if self._drain_seconds and not self.force_exit:
            await self._drain()
        await super().shutdown(sockets)
        if self.force_exit:
            # A second signal ends the wait for connections, but services are closed all the same.
            await self.lifespan.shutdown()

    async def _drain(self) -> None:
        """Accepts nobody new, and tells each client with its next answer to connect again.

        Whoever sends on a connection just as it is closed cannot know whether the request arrived.
        """
        for server in self.servers:
            server.close()
        self._bounds.draining = True
        with suppress(TimeoutError):
            async with asyncio.timeout(self._drain_seconds):
                while self._bounds.connections:  # noqa: ASYNC110  (nobody tells of the last one)
                    await asyncio.sleep(0.05)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            try:
                yield
            finally:
                # uvicorn would raise each of them again: SIGTERM would kill the process, and a
                # second SIGINT would interrupt the shutdown that the first one began.
                self._captured_signals = [s for s in self._captured_signals if s != SIGTERM][:1]


def make_server(
    settings: Settings, started: Callable[[str], None], place: WorkerPlace | None = None
) -> Server:
    app = create_app(settings, place)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        # When another process stops, all its clients connect here at once.
        backlog=8192,
        http=HttpProtocol,
        ws=WebSocketProtocol,
        # The same limit as over HTTP.
        ws_max_size=MAX_BODY_BYTES,
        # Compression more than doubles the memory and time of a subscriber.
        ws_per_message_deflate=False,
        # Heartbeats keep proxies from closing idle sockets; this only finds dead clients.
        ws_ping_interval=60,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        lifespan="on",
        access_log=False,
        log_config=None,
        log_level=settings.log_level,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    return Server(config, app, started, drain_seconds=DRAIN_SECONDS if place else 0)


def check_port(settings: Settings) -> None:
    """Raises PortInUseError when the port is taken, before anything is started."""
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
                "Choose another port with --port."
            ) from error


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[str]:
    """Runs the service at the URL it yields until the block ends. If the service is told to stop
    before that, the block is cancelled."""
    block = asyncio.current_task()
    if block is None:
        raise RuntimeError("`running` needs a task to run in.")
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
    """Runs `work` until it ends or Ctrl-C is pressed."""
    with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(work)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Returns uvloop's loop where it is installed. An optimisation: it halves a request's time."""
    if find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    return factory
