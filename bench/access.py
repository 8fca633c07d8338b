"""Measures how soon access ends and what the viewer's look-up costs.

Run it as `.venv/bin/python -m bench.access --help`.

`deactivation` runs two processes on one PostgreSQL, opens a socket for each of some members, and
ends one membership after the other at the first process. It prints how long it takes until that
member's socket is closed.

`viewer` compares the CPU that one process spends on the same small query with a token and without
one. The difference is the cost of verifying the token, looking up the viewer and their sight, and
writing them into the answer. An operator is not looked up, so theirs is the cost without the
database. Each request of a kind comes from another person than the one before. Requests under way
together share a round trip to the database, so their number matters (`--connections`). The kinds
take turns of a few milliseconds, and the median of the differences between neighbours is printed,
because other load on the machine affects both alike. On SQLite, the database is a part of the
process.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack
from datetime import timedelta
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import httpx
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from app.auth.own_tokens import mint
from app.settings import DEVELOPMENT_WEBHOOK_SECRET, load_settings
from bench.ingest import durable_postgres, own_service, wait_until_ready
from bench.load import Connection, http_request
from tests.support.builders import body_of, created, deactivated, guid, organization, role
from tests.support.service import signed_headers

VIEWER = "{ viewer { accessLevel } }"
SUBSCRIPTION = "subscription { memberChanges { __typename } }"
PROTOCOL = Subprotocol("graphql-transport-ws")
PEOPLE = 50
"""The number of people of each kind; more than ask at the same time."""
WARMING = 10


def token_of(name: str) -> str:
    return mint(load_settings(), guid(name), operator=False, lifetime=timedelta(hours=1))


async def deliver(http: httpx.AsyncClient, url: str, event: dict[str, object], id: str) -> None:
    body = body_of(event)
    headers = signed_headers(body, id, DEVELOPMENT_WEBHOOK_SECRET)
    response = await http.post(f"{url}/webhooks/portal", content=body, headers=headers)
    response.raise_for_status()


async def subscribed(stack: AsyncExitStack, url: str, name: str) -> ClientConnection:
    address = url.replace("http", "ws", 1) + "/graphql"
    socket = await stack.enter_async_context(connect(address, subprotocols=[PROTOCOL]))
    payload = {"authorization": f"Bearer {token_of(name)}"}
    await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
    await socket.recv()
    operation = {"id": "1", "type": "subscribe", "payload": {"query": SUBSCRIPTION}}
    await socket.send(json.dumps(operation))
    await socket.recv()
    return socket


async def deactivations(urls: Sequence[str], sockets: int, trials: int) -> list[float]:
    """Returns the seconds from sending the webhook until the socket is closed with 4403."""
    names = [f"member {number}" for number in range(sockets)]
    took = []
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=30))
        for name in names:
            await deliver(http, urls[0], created(name), f"created-{guid(name)}")
        opened = [
            await subscribed(stack, urls[number % len(urls)], name)
            for number, name in enumerate(names)
        ]
        for name, socket in list(zip(names, opened, strict=True))[:trials]:
            began = time.perf_counter()
            sending = asyncio.create_task(
                deliver(http, urls[0], deactivated(name), f"ended-{guid(name)}")
            )
            await socket.wait_closed()
            took.append(time.perf_counter() - began)
            await sending
            if socket.close_code != 4403:
                raise SystemExit(f"A socket was closed with {socket.close_code}, not 4403.")
    return sorted(took)


def measure_deactivation(options: argparse.Namespace) -> None:
    with ExitStack() as stack:
        database = stack.enter_context(durable_postgres())
        ports = [options.port, options.port + 1]
        for port in ports:
            stack.enter_context(own_service(database, port))
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        took = uvloop.run(deactivations(urls, options.sockets, options.trials))
    p50, p99 = median(took), took[int(0.99 * (len(took) - 1))]
    print(
        f"{len(took)} deactivations with {options.sockets} sockets on two processes: webhook sent "
        f"to socket closed p50 {1000 * p50:.1f} ms, p99 {1000 * p99:.1f} ms, "
        f"longest {1000 * took[-1]:.1f} ms"
    )


class Turns:
    """Sends requests of one kind after the other, over connections that stay open."""

    def __init__(self, url: str, pid: int) -> None:
        self._url = f"{url}/graphql"
        self._pid = pid
        self._connections: list[Connection] = []

    async def open(self, connections: int) -> None:
        self._connections = [await Connection.opened(self._url) for _ in range(connections)]

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    def request(self, token: str | None) -> bytes:
        headers = {"content-type": "application/json"}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        return http_request(self._url, json.dumps({"query": VIEWER}).encode(), headers)

    async def cpu_per_request(self, requests: Sequence[bytes]) -> float:
        before = process_time(self._pid)
        todo = iter(requests)
        await asyncio.gather(*(self._send(connection, todo) for connection in self._connections))
        # The last answer is there before the process has put everything away.
        await asyncio.sleep(0.002)
        return (process_time(self._pid) - before) / len(requests)

    async def _send(self, connection: Connection, todo: Iterator[bytes]) -> None:
        for request in todo:
            status = await connection.exchange(request)
            if status != 200:
                raise SystemExit(f"A request was answered with {status}.")


def process_time(pid: int) -> float:
    """Returns the user and system time of all threads so far, in seconds."""
    # In nanoseconds, unlike `stat`.
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


async def found_people(url: str) -> dict[str, list[str]]:
    """Returns names by kind; coordinators and administrators see a county with 50 chapters."""
    county = organization("Oslo county", "HLF")
    roles = {"member": [], "coordinator": ["coordinator"]}
    roles["administrator"] = ["organization-administrator"]
    people = {kind: [f"{kind} {number}" for number in range(PEOPLE)] for kind in roles}
    async with httpx.AsyncClient(timeout=30) as http:
        for kind, names in people.items():
            held = [role(code) for code in roles[kind]]
            for name in names:
                await deliver(http, url, created(name, organization=county, roles=held), guid(name))
        for number in range(50):
            chapter = organization(f"Chapter {number}", "Oslo county")
            name = f"neighbour {number}"
            await deliver(http, url, created(name, organization=chapter), guid(name))
    return people


async def viewer_prices(
    url: str, pid: int, connections: int, turns: int, length: int
) -> dict[str, list[float]]:
    people = await found_people(url)
    operator = mint(load_settings(), "bench", operator=True, lifetime=timedelta(hours=1))
    turn = Turns(url, pid)
    pools = {"nobody": [turn.request(None)], "operator": [turn.request(operator)]}
    for kind, names in people.items():
        pools[kind] = [turn.request(token_of(name)) for name in names]
    kinds = {kind: cycle(pool) for kind, pool in pools.items()}
    prices: dict[str, list[float]] = {kind: [] for kind in kinds}
    await turn.open(connections)
    for number in range(WARMING + turns):
        for kind, pool in kinds.items():
            cpu = await turn.cpu_per_request(list(islice(pool, length)))
            if number >= WARMING:
                prices[kind].append(cpu)
    turn.close()
    return prices


def measure_viewer(options: argparse.Namespace) -> None:
    with ExitStack() as stack:
        if options.database == "sqlite":
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            database = f"sqlite+aiosqlite:///{folder}/bench.db"
        else:
            database = stack.enter_context(durable_postgres())
        pid = stack.enter_context(own_service(database, options.port))
        url = f"http://127.0.0.1:{options.port}"
        wait_until_ready(f"{url}/readyz")
        prices = uvloop.run(
            viewer_prices(url, pid, options.connections, options.turns, options.length)
        )
    nobody = prices.pop("nobody")
    print(f"{VIEWER}, {options.connections} at a time")
    print(f"without a token: {1e6 * median(nobody):.0f} us of CPU a request")
    for kind, found in prices.items():
        price = median(
            with_token - without for with_token, without in zip(found, nobody, strict=True)
        )
        print(f"as {kind}: {1e6 * median(found):.0f} us; access {1e6 * price:.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["deactivation", "viewer"])
    parser.add_argument("--port", type=int, default=8970)
    parser.add_argument("--sockets", type=int, default=500)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--database", choices=["postgresql", "sqlite"], default="postgresql")
    parser.add_argument(
        "--connections", type=int, default=8, help="requests at a time; they share a look-up"
    )
    parser.add_argument("--turns", type=int, default=150, help="of each kind of viewer")
    parser.add_argument("--length", type=int, default=96, help="requests in a turn")
    options = parser.parse_args()
    if options.trials > options.sockets:
        sys.exit("Each trial needs a socket of its own.")
    if options.connections > PEOPLE:
        sys.exit(f"There are {PEOPLE} people of each kind, and no more requests at a time.")
    {"deactivation": measure_deactivation, "viewer": measure_viewer}[options.what](options)


if __name__ == "__main__":
    main()
