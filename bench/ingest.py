"""Measures how fast events are acknowledged and applied.

Run it as `.venv/bin/python -m bench.ingest --help`. It starts the service, on SQLite or on a
PostgreSQL of its own with fsync on. In turn with the service it measures, with --beside, that of
another checkout, and with --peer another server that accepts the webhooks of the reference harness
and has its own database.
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import httpx
import uvloop
from standardwebhooks import Webhook

from app.settings import DEVELOPMENT_WEBHOOK_SECRET
from bench.load import Measured, at_rate, http_request, saturate

Requests = Callable[[str, int, int], list[bytes]]
"""Builds requests from a URL, their count, and the number of the first one."""

PEER_SECRET = b"benchsecret"
PEER_MEMBERS = 70_000


def own_requests(url: str, count: int, first: int, members: int = 5000) -> list[bytes]:
    """Builds events about members that exist after the first round: profile, home and two roles."""
    webhook = Webhook(DEVELOPMENT_WEBHOOK_SECRET)
    return [_own_request(webhook, url, number, members) for number in range(first, first + count)]


def _own_request(webhook: Webhook, url: str, number: int, members: int) -> bytes:
    person, chapter = number * 7919 % members, number * 7919 % 50
    now = datetime.now(UTC)
    event = {
        "type": "membership-created",
        "timestamp": now.isoformat(),
        "data": {
            "member": {
                "id": f"00000000-0000-4000-8000-{person:012d}",
                "memberNumber": str(100_000 + person),
                "givenName": f"Changed {number}",
                "familyName": "Nordmann",
                "email": f"person.{person}@example.no",
                "phone": "+4790000000",
            },
            "organization": {
                "id": f"00000000-0000-4000-9000-{chapter:012d}",
                "name": f"HLF {chapter}",
                "parentId": None,
            },
            "roles": [
                {"code": "member"},
                {
                    "code": "peer-mentor",
                    "organizationId": f"00000000-0000-4000-9000-{number % 50:012d}",
                },
            ],
        },
    }
    body = json.dumps(event, separators=(",", ":")).encode()
    event_id = f"evt_{os.getpid()}_{number}"
    return http_request(
        url,
        body,
        {
            "content-type": "application/json",
            "webhook-id": event_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": webhook.sign(event_id, now, body.decode()),
        },
    )


def peer_requests(url: str, count: int, first: int) -> list[bytes]:
    """Builds the same facts in the format and with the signature of the reference harness."""
    run = hashlib.sha256(os.urandom(8)).hexdigest()[:10]
    requests = []
    for number in range(first, first + count):
        person = number * 7919 % PEER_MEMBERS
        event = {
            "id": f"evt-{run}-{number}-{int(time.time() * 1e6)}",
            "type": "member.updated",
            "occurredAt": "2026-06-01T08:00:00Z",
            "sequence": number,
            "organization": {"externalId": f"org-{person % 50}", "name": f"Org {person % 50}"},
            "member": {
                "externalId": f"usr-{person}",
                "name": f"Changed Name {number}",
                "email": f"person.{person}@example{person % 50}.test",
                "active": True,
                "roles": [
                    {"code": "TEACHER", "scope": f"unit:{number % 20}"},
                    {"code": "MEMBER", "scope": None},
                ],
            },
        }
        body = json.dumps(event, separators=(",", ":")).encode()
        signature = "sha256=" + hmac.new(PEER_SECRET, body, hashlib.sha256).hexdigest()
        headers = {"content-type": "application/json", "x-signature-256": signature}
        requests.append(http_request(url, body, headers))
    return requests


@contextmanager
def own_service(database_url: str, port: int, checkout: Path | None = None) -> Iterator[int]:
    """Starts the service, of another checkout if one is given, and yields its process id."""
    environment = {**os.environ, "LIKEPERSON_DATABASE_URL": database_url}
    python = str(checkout / ".venv/bin/python") if checkout else sys.executable
    command = [python, "-m", "app", "serve", "--port", str(port)]
    subprocess.run([python, "-m", "app", "migrate"], env=environment, cwd=checkout, check=True)
    with subprocess.Popen(command, env=environment, cwd=checkout) as process:
        try:
            wait_until_ready(f"http://127.0.0.1:{port}/readyz")
            yield process.pid
        finally:
            process.terminate()


def resident_mib(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


def cpu_seconds(pid: int) -> float:
    """Returns the CPU time of a process so far, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_until_ready(url: str) -> None:
    for _ in range(200):
        try:
            if httpx.get(url).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"{url} did not answer.")


async def applied(database_url: str) -> int:
    """Counts the applied sync-log entries in the database, not by the answers."""
    if not database_url.startswith("postgresql"):
        return -1
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    count: int = await connection.fetchval("SELECT count(*) FROM sync_log WHERE status='SUCCESS'")
    await connection.close()
    return count


def measure(
    url: str, make: Requests, count: int, first: int, options: argparse.Namespace
) -> Measured:
    requests = make(url, count, first)
    if options.rate:
        return uvloop.run(at_rate(url, requests, options.rate))
    return uvloop.run(saturate(url, requests, options.connections))


def report(name: str, rounds: list[Measured]) -> None:
    def median(value: Callable[[Measured], float]) -> float:
        return statistics.median(value(measured) for measured in rounds)

    refused = {code: n for measured in rounds for code, n in measured.refused.items()}
    print(
        f"{name:<22} {median(lambda m: len(m.acks) / m.span):8.0f}/s   "
        f"ack p50 {median(lambda m: m.percentile_ms(0.5)):6.1f} ms  "
        f"p99 {median(lambda m: m.percentile_ms(0.99)):6.1f} ms   "
        f"first tenth {median(lambda m: m.rate_between(0, 0.1)):6.0f}/s  "
        f"last tenth {median(lambda m: m.rate_between(0.9, 1)):6.0f}/s   refused {refused or 0}"
    )


@dataclass
class Target:
    """One server that is measured, with the process whose CPU time counts if it is our own."""

    name: str
    url: str
    make: Requests
    pid: int | None = None
    rounds: list[Measured] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    """CPU time of the service for each event, one figure a round."""

    def measure(self, number: int, options: argparse.Namespace) -> None:
        before = cpu_seconds(self.pid) if self.pid else 0.0
        first = number * options.events
        self.rounds.append(measure(self.url, self.make, options.events, first, options))
        if self.pid:
            self.cpu_ms.append(1000 * (cpu_seconds(self.pid) - before) / options.events)

    def report(self) -> None:
        report(self.name, self.rounds)
        if self.cpu_ms:
            each = " ".join(f"{value:.3f}" for value in self.cpu_ms)
            print(f"{'':<22} CPU of the service, ms an event: {each}")


def main() -> None:
    options = _options()

    def own(url: str, count: int, first: int) -> list[bytes]:
        return own_requests(url, count, first, options.members)

    with ExitStack() as stack, databases(options.database) as new_database:
        database_url = new_database()
        pid = stack.enter_context(own_service(database_url, options.port))
        url = f"http://127.0.0.1:{options.port}/webhooks/portal"
        targets = [Target(f"likeperson ({options.database})", url, own, pid)]
        if options.beside:
            port = options.port + 1
            service = own_service(new_database(), port, options.beside.resolve())
            url = f"http://127.0.0.1:{port}/webhooks/portal"
            targets.append(Target("the other checkout", url, own, stack.enter_context(service)))
        for peer in options.peer:
            name, url = peer.split("=", 1)
            targets.append(Target(name, url, peer_requests))
        memory = [resident_mib(pid)]
        for number in range(options.rounds):
            for target in targets if number % 2 == 0 else reversed(targets):
                target.measure(number, options)
            memory.append(resident_mib(pid))
        for target in targets:
            target.report()
        print("memory of the process after each round, MiB:", *memory)
        if options.database == "postgresql":
            print("applied, counted in the database:", asyncio.run(applied(database_url)))


@contextmanager
def databases(kind: str) -> Iterator[Callable[[], str]]:
    """Yields a function that makes one more empty database, or names the one that is given."""
    if kind.startswith("postgresql+"):
        yield lambda: kind
    elif kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            numbers = count()
            yield lambda: f"sqlite+aiosqlite:///{Path(folder) / f'bench{next(numbers)}.db'}"
    else:
        from tests.support.postgres import PostgresCluster  # noqa: PLC0415  (it needs the dev dependencies)

        with PostgresCluster(durable=True) as cluster:
            numbers = count()
            yield lambda: cluster.create_database(f"bench{next(numbers)}")


@contextmanager
def durable_postgres() -> Iterator[str]:
    """Starts the PostgreSQL of the tests, on disk and with fsync on."""
    from tests.support.postgres import PostgresCluster  # noqa: PLC0415  (it needs the dev dependencies)

    with PostgresCluster(durable=True) as cluster:
        yield cluster.create_database("bench")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.ingest")
    add = parser.add_argument
    add("--database", default="postgresql", help="sqlite, postgresql, or a URL of your own")
    add("--events", type=int, default=10_000, help="events per round")
    add("--rounds", type=int, default=3)
    add("--members", type=int, default=5000, help="how many members the events are about")
    add("--connections", type=int, default=32)
    add("--rate", type=float, default=0, help="events a second; 0: as fast as the answers come")
    add("--port", type=int, default=8099)
    add("--beside", type=Path, metavar="CHECKOUT", help="measured in turn, with its own .venv")
    add("--peer", action="append", default=[], metavar="NAME=URL", help="measured in turn")
    return parser.parse_args()


if __name__ == "__main__":
    main()
