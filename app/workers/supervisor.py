"""Runs several worker processes behind one port, and replaces them one after the other.

The workers accept connections of one socket, which the supervisor holds: while one ends, what waits
in the queue of the socket is taken by another. Each worker is a program of its own, so that those
after a reload have new settings and a new version of the code.
"""

import asyncio
import logging
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from app.errors import CommandError
from app.workers.worker_place import READY, WorkerPlace

logger = logging.getLogger(__name__)

START_SECONDS = 60.0
END_SECONDS = 30.0
"""Longer than a worker takes to end its streams and to record what it has accepted."""
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0


class WorkersFailedError(CommandError):
    """No worker could start; it has said why."""


class WorkerProcess:
    """A worker process. `ended` is done when it has ended, by itself or because it was told to."""

    def __init__(self, process: asyncio.subprocess.Process, lifeline: socket.socket) -> None:
        self._process = process
        self._lifeline = lifeline
        self.ended = asyncio.create_task(process.wait(), name="worker")

    @classmethod
    async def started(cls, place: WorkerPlace, arguments: Sequence[str]) -> "WorkerProcess":
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            place = WorkerPlace(place.slot, place.listening, theirs.fileno(), place.folder)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "app", "serve", *arguments, "--worker", str(place)),
                pass_fds=(place.listening, place.lifeline),
                stdin=asyncio.subprocess.DEVNULL,
            )
        return cls(process, ours)

    async def is_ready(self) -> bool:
        """Returns True once it serves, and False if it has ended or takes too long."""
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(START_SECONDS):
                return await loop.sock_recv(self._lifeline, len(READY)) == READY
        return False

    async def end(self) -> None:
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(END_SECONDS):
                await asyncio.shield(self.ended)
        except TimeoutError:
            logger.warning("Worker process %d does not end, and is killed.", self._process.pid)
            self._process.kill()
            await self.ended
        self._lifeline.close()


class Supervisor:
    def __init__(self, listening: socket.socket, workers: int, arguments: Sequence[str]) -> None:
        """Prepares the workers; `arguments` are those of `serve` for each of them."""
        self._listening = listening
        self._arguments = arguments
        self._workers: list[WorkerProcess | None] = [None] * workers
        self._told_to_stop = asyncio.Event()
        self._told_to_reload = asyncio.Event()

    async def run(self) -> None:
        """Returns when it was told to stop. Raises WorkersFailedError if a first worker fails."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._told_to_stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._told_to_reload.set)
        with tempfile.TemporaryDirectory(prefix="likeperson-") as folder:
            self._folder = Path(folder)
            try:
                await self._start_all()
                await self._watch()
            finally:
                await asyncio.gather(*(it.end() for it in self._workers if it is not None))

    async def _start_all(self) -> None:
        started = await asyncio.gather(*(self._fresh(slot) for slot in range(len(self._workers))))
        self._workers = list(started)
        if None in started and not self._told_to_stop.is_set():
            raise WorkersFailedError("A worker process could not start; its message is above.")

    async def _fresh(self, slot: int) -> WorkerProcess | None:
        """Returns a worker that is ready, or None."""
        place = WorkerPlace(slot, self._listening.fileno(), -1, self._folder)
        worker = await WorkerProcess.started(place, self._arguments)
        if await worker.is_ready():
            return worker
        await worker.end()
        return None

    async def _watch(self) -> None:
        guards = [
            asyncio.create_task(self._keep_alive(slot), name=f"keeps worker {slot}")
            for slot in range(len(self._workers))
        ]
        try:
            while True:
                stop = asyncio.create_task(self._told_to_stop.wait())
                reload = asyncio.create_task(self._told_to_reload.wait())
                await asyncio.wait([stop, reload], return_when=asyncio.FIRST_COMPLETED)
                stop.cancel()
                reload.cancel()
                if self._told_to_stop.is_set():
                    return
                self._told_to_reload.clear()
                await self._reload()
        finally:
            for guard in guards:
                guard.cancel()
            await asyncio.gather(*guards, return_exceptions=True)

    async def _reload(self) -> None:
        """Replaces one worker after the other; the old one ends when the new one serves."""
        logger.info("The worker processes are replaced.")
        for slot in range(len(self._workers)):
            if self._told_to_stop.is_set():
                return
            fresh = await self._fresh(slot)
            if fresh is None:
                logger.error("A new worker process could not start. The old ones go on.")
                return
            old, self._workers[slot] = self._workers[slot], fresh
            if old is not None:
                await old.end()
        logger.info("All worker processes are new.")

    async def _keep_alive(self, slot: int) -> None:
        """Starts a worker again that has ended by itself."""
        pause = FIRST_PAUSE
        while True:
            worker = self._workers[slot]
            if worker is not None:
                await asyncio.shield(worker.ended)
                if self._workers[slot] is not worker:
                    continue  # It was replaced.
                logger.error("A worker process has ended by itself, and is started again.")
                self._workers[slot] = None
                await worker.end()
            self._workers[slot] = await self._fresh(slot)
            if self._workers[slot] is None:
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                pause = FIRST_PAUSE


def bound_socket(host: str, port: int) -> socket.socket:
    """Returns a socket on which several processes can accept connections."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((host, port))
    # Connections wait from now on, and are not refused, until the first worker accepts them.
    bound.listen(8192)
    return bound


def url_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
