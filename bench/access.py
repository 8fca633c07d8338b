"""What access costs, and how fast it ends: `.venv/bin/python -m bench.access --help`.

`deactivation`: two processes on one PostgreSQL, sockets of as many members, and one membership
after the other ends at the first process: how long until that member's socket is closed.

`viewer`: the CPU that one process spends on the same small query with a token and without one. The
difference is what verifying the token, finding the viewer and their sight cost, and showing them.
An operator is not looked up, so theirs is the part without the database.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from datetime import timedelta
from statistics import median

import httpx
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from app.auth.tokens import mint
from app.settings import DEVELOPMENT_WEBHOOK_SECRET, load_settings
from bench.ingest import durable_postgres, own_service, wait_until_ready
from bench.load import http_request, saturate
from tests.builders import body_of, created, deactivated, guid, organization, role
from tests.service import signed_headers

VIEWER = "{ viewer { accessLevel } }"
SUBSCRIPTION = "subscription { memberChanges { __typename } }"
PROTOCOL = Subprotocol("graphql-transport-ws")


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
    """Seconds from the sending of the webhook until the socket is closed with 4403."""
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


async def cpu_per_request(url: str, pid: int, token: str | None, count: int) -> float:
    headers = {"content-type": "application/json"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    request = http_request(f"{url}/graphql", json.dumps({"query": VIEWER}).encode(), headers)
    before = _process_time(pid)
    await saturate(f"{url}/graphql", [request] * count, connections=8)
    return (_process_time(pid) - before) / count


def _process_time(pid: int) -> float:
    """User and system time so far, in seconds."""
    with open(f"/proc/{pid}/schedstat") as file:  # noqa: PTH123 -- nanoseconds, unlike `stat`
        return int(file.read().split()[0]) / 1e9


async def viewer_prices(url: str, pid: int, count: int, rounds: int) -> dict[str, list[float]]:
    chapters = [organization("HLF"), organization("Oslo county", "HLF")]
    async with httpx.AsyncClient(timeout=30) as http:
        people = {
            "member": created("member", organization=chapters[1]),
            "coordinator": created(
                "coordinator", organization=chapters[1], roles=[role("coordinator")]
            ),
            "administrator": created(
                "administrator",
                organization=chapters[1],
                roles=[role("organization-administrator")],
            ),
        }
        for name, event in people.items():
            await deliver(http, url, event, name)
        for number in range(50):
            chapter = organization(f"Chapter {number}", "Oslo county")
            await deliver(
                http, url, created(f"member {number}", organization=chapter), f"c{number}"
            )
    operator = mint(load_settings(), "bench", operator=True, lifetime=timedelta(hours=1))
    who = {"nobody": None, "operator": operator, **{name: token_of(name) for name in people}}
    prices: dict[str, list[float]] = {name: [] for name in who}
    for _ in range(rounds):
        for name, token in who.items():
            prices[name].append(await cpu_per_request(url, pid, token, count))
    return prices


def measure_viewer(options: argparse.Namespace) -> None:
    with ExitStack() as stack:
        database = stack.enter_context(durable_postgres())
        pid = stack.enter_context(own_service(database, options.port))
        url = f"http://127.0.0.1:{options.port}"
        wait_until_ready(f"{url}/readyz")
        prices = uvloop.run(viewer_prices(url, pid, options.requests, options.rounds))
    nobody = min(prices["nobody"])
    print(f"{VIEWER} without a token: {1e6 * nobody:.0f} us of CPU a request")
    for name, found in prices.items():
        if name != "nobody":
            print(f"as {name}: {1e6 * min(found):.0f} us; access {1e6 * (min(found) - nobody):.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["deactivation", "viewer"])
    parser.add_argument("--port", type=int, default=8970)
    parser.add_argument("--sockets", type=int, default=500)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.trials > options.sockets:
        sys.exit("Each trial needs a socket of its own.")
    {"deactivation": measure_deactivation, "viewer": measure_viewer}[options.what](options)


if __name__ == "__main__":
    main()
