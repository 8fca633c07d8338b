"""A load generator that uses little CPU itself: it sends prepared requests over plain sockets."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(slots=True)
class Measured:
    """The answers of one run. `acks` holds the time of each answer and the seconds it took;
    `refused` counts the statuses outside the 200s."""

    started: float
    acks: list[tuple[float, float]] = field(default_factory=list)
    refused: dict[int, int] = field(default_factory=dict)

    @property
    def span(self) -> float:
        return max(at for at, _ in self.acks) - self.started

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(seconds for _, seconds in self.acks)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def rate_between(self, first: float, last: float) -> float:
        """Returns the answers per second between two shares of all answers, in order of arrival."""
        times = sorted(at for at, _ in self.acks)
        low, high = int(first * len(times)), int(last * len(times)) - 1
        return (high - low) / (times[high] - times[low])


# With this type an operation that is refused has a status outside the 200s, so that it is counted.
GRAPHQL_HEADERS = {
    "content-type": "application/json",
    "accept": "application/graphql-response+json",
}


def http_request(url: str, body: bytes, headers: dict[str, str]) -> bytes:
    parts = urlsplit(url)
    lines = [f"POST {parts.path} HTTP/1.1", f"host: {parts.netloc}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def saturate(url: str, requests: Sequence[bytes], connections: int) -> Measured:
    """Sends each request as soon as the answer to the one before it has come."""
    todo = iter(requests)
    measured = Measured(time.perf_counter())
    await asyncio.gather(*(_worker(url, todo, measured) for _ in range(connections)))
    return measured


async def at_rate(
    url: str, requests: Sequence[bytes], rate: float, connections: int = 64
) -> Measured:
    """Sends each request at its time, whether or not earlier ones were answered.

    An answer is timed from the moment at which its request was due. The server closes a connection
    that waits several seconds for its turn, so it is opened again.
    """
    measured = Measured(time.perf_counter())
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(connections):
        free.put_nowait(await Connection.opened(url))

    async def send(request: bytes, due: float) -> None:
        connection = await free.get()
        status = await connection.exchange(request)
        _note(measured, status, time.perf_counter(), due)
        free.put_nowait(connection)

    async with asyncio.TaskGroup() as tasks:
        for number, request in enumerate(requests):
            due = measured.started + number / rate
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            tasks.create_task(send(request, due))
    while not free.empty():
        free.get_nowait().close()
    return measured


async def _worker(url: str, todo: Iterator[bytes], measured: Measured) -> None:
    connection = await Connection.opened(url)
    for request in todo:
        began = time.perf_counter()
        status = await connection.exchange(request)
        _note(measured, status, time.perf_counter(), began)
    connection.close()


def _note(measured: Measured, status: int, now: float, began: float) -> None:
    measured.acks.append((now, now - began))
    if not 200 <= status < 300:
        measured.refused[status] = measured.refused.get(status, 0) + 1


@dataclass(slots=True)
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def opened(cls, url: str) -> "Connection":
        parts = urlsplit(url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port))

    async def exchange(self, request: bytes) -> int:
        """Returns the status of an answer, which has a Content-Length or is chunked."""
        self.writer.write(request)
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        _, found, length = head.partition(b"content-length:")
        if found:
            await self.reader.readexactly(int(length.split(b"\r\n", 1)[0]))
        else:
            while (await self.reader.readuntil(b"\r\n")).strip() != b"0":
                pass
            await self.reader.readuntil(b"\r\n")
        return int(head[9:12])

    def close(self) -> None:
        self.writer.close()
