"""The place of a worker process: its number, socket and files, as its supervisor gives them."""

import asyncio
import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path

READY = b"ready"


@dataclass(frozen=True, slots=True)
class WorkerPlace:
    """The place that a supervisor gives a worker, as text on its command line.

    `lifeline` is a socket: the worker says on it that it is ready, and ends when it is closed.
    `folder` is where the workers of one supervisor find each other.
    """

    slot: int
    listening: int
    lifeline: int
    folder: Path

    @classmethod
    def parse(cls, text: str) -> "WorkerPlace":
        slot, listening, lifeline, folder = text.split(":", 3)
        return cls(int(slot), int(listening), int(lifeline), Path(folder))

    def __str__(self) -> str:
        return f"{self.slot}:{self.listening}:{self.lifeline}:{self.folder}"


def report_ready(place: WorkerPlace) -> None:
    """Tells the supervisor that this worker serves. When the supervisor is gone, it ends."""
    lifeline = socket.socket(fileno=place.lifeline)
    lifeline.setblocking(False)
    lifeline.send(READY)

    def supervisor_is_gone() -> None:
        asyncio.get_running_loop().remove_reader(lifeline)
        os.kill(os.getpid(), signal.SIGTERM)

    asyncio.get_running_loop().add_reader(lifeline, supervisor_is_gone)
