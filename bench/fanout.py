"""Measures what a change costs with thousands of subscribers.

Run it as `.venv/bin/python -m bench.fanout --help`. It starts the service, subscribes over real
sockets, and delivers signed webhooks at a steady rate. With --peer it measures another running
server in the same way: one that speaks graphql-transport-ws and commits a change for each
`POST CHANGE_URL&seq=N`.
"""

import argparse
import asyncio
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import uvloop

from app.auth.own_tokens import mint
from app.settings import load_settings
from bench.ingest import durable_postgres, own_requests, own_service
from bench.load import at_rate, http_request
from bench.subscribers import Deliveries, Subscriber, Usage, connected

SUBSCRIPTION = """subscription { memberChanges { __typename
  ... on StreamHeartbeat { cursor }
  ... on ResyncRequired { reason }
  ... on MemberChange { cursor operation occurredAt
    member { id displayName email state updatedAt organization { id name }
      roles { role { code } organization { id } } } } } }"""
DRAIN_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Target:
    """A running server. Each of its `requests` commits one change."""

    name: str
    pid: int
    socket_url: str
    change_url: str
    requests: Sequence[bytes]
    first: int
    operation: dict[str, object]
    token: str = ""


@dataclass(slots=True)
class Run:
    """The measurements of one round with one target."""

    expected: int
    deliveries: Deliveries
    sent: dict[int, float]
    busy: Usage
    connecting: Usage
    idle_share: float | None
    seconds: float

    def report(self, name: str, subscribers: int) -> str:
        found = self.deliveries
        whole = [n for n, count in found.count.items() if count == subscribers]
        late = sorted(1000 * (found.last[n] - found.committed[n]) for n in whole)
        idle = "" if self.idle_share is None else f"idle {self.idle_share:5.1%}   "
        whole_way = sorted(1000 * (found.last[n] - self.sent[n]) for n in whole)
        return (
            f"{name:<12} delivered {found.total / self.expected:4.0%}   "
            f"{1e6 * self.busy.cpu / max(found.total, 1):6.1f} us CPU a message   "
            f"core {self.busy.cpu / self.seconds:4.0%}   {idle}"
            f"to the last subscriber, p50 / p99 ms: from the commit {_spread(late)}, "
            f"from the POST {_spread(whole_way)}   "
            f"{self.connecting.memory_kib / subscribers:5.1f} KiB a subscriber   "
            f"{1000 * self.connecting.cpu / subscribers:4.1f} ms CPU to connect"
        )


def _spread(ordered: Sequence[float]) -> str:
    return f"{_at(ordered, 0.5):.0f} / {_at(ordered, 0.99):.0f}" if ordered else "never"


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def run(target: Target, options: argparse.Namespace) -> Run:
    deliveries = Deliveries()
    where = urlsplit(target.socket_url)

    def make() -> Subscriber:
        return Subscriber(target.socket_url, target.operation, target.token, deliveries)

    before = Usage.of(target.pid)
    subscribers = await connected(
        options.subscribers, make, where.hostname or "127.0.0.1", where.port or 80
    )
    # Whoever was acknowledged is not subscribed yet.
    await asyncio.sleep(2)
    settled = Usage.of(target.pid)
    await asyncio.sleep(options.idle)
    idle = Usage.of(target.pid)
    expected = options.subscribers * len(target.requests)
    began = time.perf_counter()
    posted = await at_rate(target.change_url, target.requests, options.rate, connections=8)
    latest = time.perf_counter() + DRAIN_SECONDS
    # An event for each message would cost more than looking now and then.
    while deliveries.total < expected and time.perf_counter() < latest:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    done, seconds = Usage.of(target.pid), time.perf_counter() - began
    # When each was due, by the clock of the commits.
    zero = time.time() - time.perf_counter() + posted.started
    sent = {target.first + n: zero + n / options.rate for n in range(len(target.requests))}
    for subscriber in subscribers:
        subscriber.close()
    await asyncio.sleep(1)
    return Run(
        expected,
        deliveries,
        sent,
        Usage(done.cpu - idle.cpu, done.memory_kib),
        Usage(settled.cpu - before.cpu, settled.memory_kib - before.memory_kib),
        (idle.cpu - settled.cpu) / options.idle if options.idle else None,
        seconds,
    )


def own_target(
    pid: int, port: int, delivery_port: int, first: int, count: int, token: str
) -> Target:
    url = f"http://127.0.0.1:{delivery_port}/webhooks/portal"
    return Target(
        "likeperson",
        pid,
        f"ws://127.0.0.1:{port}/graphql",
        url,
        own_requests(url, count, first, members=5000),
        first,
        {"query": SUBSCRIPTION},
        token,
    )


def peer_target(text: str, first: int, count: int, operation: dict[str, object]) -> Target:
    """Parses `NAME,PID,SOCKET_URL,CHANGE_URL`."""
    name, pid, socket_url, change_url = text.split(",")
    parts = urlsplit(change_url)
    requests = [
        http_request(change_url, b"", {}).replace(
            parts.path.encode(), f"{parts.path}?{parts.query}&seq={number}".encode(), 1
        )
        for number in range(first, first + count)
    ]
    return Target(name, int(pid), socket_url, change_url, requests, first, operation)


def main() -> None:
    options = _options()
    # Each subscriber is a file, here and in the service.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    peer_operation: dict[str, object] = {}
    if options.peer:
        text = Path(options.peer_query).read_text(encoding="utf-8")
        peer_operation = {"query": text, "variables": msgspec.json.decode(options.peer_variables)}
    token = mint(load_settings(), "bench", operator=True, lifetime=timedelta(hours=1))
    with (
        _database(options.database) as url,
        own_service(url, options.port) as pid,
        own_service(url, options.port + 1) if options.across else nullcontext(),
    ):
        deliveries = options.port + 1 if options.across else options.port
        for number in range(options.rounds):
            first = 1 + number * options.changes
            targets = [
                peer_target(peer, first, options.changes, peer_operation) for peer in options.peer
            ]
            if not options.peers_only:
                targets.append(
                    own_target(pid, options.port, deliveries, first, options.changes, token)
                )
            for target in targets:
                found = uvloop.run(run(target, options))
                print(found.report(target.name, options.subscribers), flush=True)


@contextmanager
def _database(kind: str) -> Iterator[str]:
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite+aiosqlite:///{Path(folder) / 'bench.db'}"
    else:
        with durable_postgres() as url:
            yield url


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.fanout")
    add = parser.add_argument
    add("--database", default="postgresql", choices=["sqlite", "postgresql"])
    add("--subscribers", type=int, default=1000)
    add("--rate", type=float, default=10, help="changes a second")
    add("--changes", type=int, default=100, help="per round")
    add("--rounds", type=int, default=1)
    add("--idle", type=float, default=0, help="seconds to look at subscribers who get nothing")
    add("--across", action="store_true", help="deliver to another process than that of subscribers")
    add("--port", type=int, default=8098)
    add(
        "--peer",
        action="append",
        default=[],
        metavar="NAME,PID,SOCKET_URL,CHANGE_URL",
        help="a server that runs, measured in turn",
    )
    add("--peer-query", help="a file with the subscription that peers are sent")
    add("--peer-variables", default="{}", help="JSON")
    add("--peers-only", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
