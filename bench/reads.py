"""Measures how fast queries are answered: `.venv/bin/python -m bench.reads --help`.

It starts a PostgreSQL with 70,000 members in 50 chapters and 200,000 sync-log entries, and asks in
turn the service and a straightforward implementation (`bench.idiomatic`), one process each.
"""

import argparse
import asyncio
import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import httpx
import jwt
import uvloop

from bench.ingest import durable_postgres, wait_until_ready
from bench.load import GRAPHQL_HEADERS, Measured, http_request, saturate
from schema.types.opaque import global_id

SECRET = "only for measuring, and known to everybody"  # noqa: S105
MEMBERS, CHAPTERS, ENTRIES = 70_000, 50, 200_000

SEED = [
    """INSERT INTO organizations (id, portal_id, name, as_of)
       SELECT n + 1, 'org-' || n, 'HLF number ' || n, '{}' FROM generate_series(0, $1 - 1) n""",
    """INSERT INTO members (id, portal_id, member_number, given_name, family_name, email, sort_name,
         number_key, search_text, state, organization_id, updated_at, as_of)
       SELECT n + 1, md5('member:' || n)::uuid::text, n::text,
         (ARRAY['Ada','Bjørn','Chen','Dalia','Émile','Fatima','Göran','Hana'])[1 + n % 8],
         (ARRAY['Svensson','Okafor','Müller','Tanaka','García','Novak','Haddad'])[1 + n % 7] || n,
         'person.' || n || '@example.no', 'name ' || n, lpad(n::text, 20, '0'), ' name ' || n,
         CASE WHEN n % 11 = 0 THEN 'INACTIVE' ELSE 'ACTIVE' END, n % 50 + 1,
         timestamptz '2026-01-01 00:00:00Z' + n * interval '7 seconds', '{}'
       FROM generate_series(0, $1 - 1) n""",
    """INSERT INTO role_assignments (id, member_id, role_id, organization_id, since)
       SELECT row_number() OVER (), n + 1, (SELECT id FROM roles WHERE code =
           (ARRAY['member', 'peer-mentor'])[k]),
         CASE WHEN n % 3 = 0 THEN n % 50 + 1 END, timestamptz '2026-01-01 00:00:00Z'
       FROM generate_series(0, $1 - 1) n,
         generate_series(1, CASE WHEN n % 3 = 0 THEN 2 ELSE 1 END) k
    """,
    """INSERT INTO sync_log (id, source, event_id, event_type, received_at, processed_at, status,
         outcome, detail, attempts, deliveries, member_id, organization_id, field_changes, payload)
       SELECT n + 1, 'portal', 'evt-' || n,
         (ARRAY['role-updated', 'membership-created', 'membership-updated'])[1 + n % 3],
         timestamptz '2026-01-01 00:00:00Z' + n * interval '3 seconds',
         timestamptz '2026-01-01 00:00:00Z' + n * interval '3 seconds',
         CASE WHEN n % 20 = 0 THEN 'FAILED' WHEN n % 50 = 1 THEN 'SKIPPED' ELSE 'SUCCESS' END,
         CASE WHEN n % 20 <> 0 THEN 'UPDATED' END,
         CASE WHEN n % 20 = 0 THEN 'The handler failed.' END, 1, 1,
         n % 70000 + 1, n % 50 + 1, '[]', '{}'
       FROM generate_series(0, $1 - 1) n""",
]
SIZES = [CHAPTERS, MEMBERS, MEMBERS, ENTRIES]

PERSON = """id displayName email state updatedAt organization { id name }
    roles { role { code } organization { id } }"""
DOCUMENTS = {
    "members": f"""query Members($org: ID!, $first: Int!) {{
        members(organizationId: $org, first: $first) {{ edges {{ node {{ {PERSON} }} }} }} }}""",
    "viewer": f"query Viewer {{ viewer {{ member {{ {PERSON} }} }} }}",
    "syncLog": """query Log($status: SyncStatus!, $first: Int!) {
        syncLog(filter: {status: [$status]}, first: $first) {
          edges { node { id eventId receivedAt status eventType detail } } } }""",
}


@dataclass(frozen=True, slots=True)
class Target:
    name: str
    url: str
    pid: int
    own_ids: bool = True


def requests(target: Target, case: str, count: int) -> list[bytes]:
    """Builds requests that differ between targets only in how ids are written."""
    chance = random.Random(count)  # noqa: S311  (the same in every round)
    operator = operator_token()
    body_of = {"query": DOCUMENTS[case]}
    made = []
    for _ in range(count):
        token = operator
        variables: dict[str, object] = {}
        if case == "members":
            number = chance.randrange(CHAPTERS) + 1
            org = global_id("Organization", number) if target.own_ids else str(number)
            variables = {"org": org, "first": 100}
        elif case == "syncLog":
            variables = {"status": chance.choice(["FAILED", "SKIPPED", "SUCCESS"]), "first": 50}
        else:
            token = chance.choice(_tokens())
        body = json.dumps({**body_of, "variables": variables}).encode()
        made.append(
            http_request(
                target.url,
                body,
                {**GRAPHQL_HEADERS, "authorization": f"Bearer {token}"},
            )
        )
    return made


def _token(subject: str, **claims: str) -> str:
    return jwt.encode({"sub": subject, "exp": int(time.time()) + 3600, **claims}, SECRET, "HS256")


def operator_token() -> str:
    return _token("bench", scope="sync:operate")


@cache
def _tokens() -> Sequence[str]:
    """Returns tokens of active members."""
    numbers = [n for n in range(1000) if n % 11]
    digests = [hashlib.md5(f"member:{n}".encode()).hexdigest() for n in numbers]  # noqa: S324
    return [_token(str(UUID(digest))) for digest in digests]


async def seed(url: str) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    for statement, size in zip(SEED, SIZES, strict=True):
        await connection.execute(statement, size)
    await connection.execute("ANALYZE")
    await connection.close()


@contextmanager
def server(name: str, module: Sequence[str], database: str, port: int) -> Iterator[Target]:
    environment = {
        **os.environ,
        "LIKEPERSON_DATABASE_URL": database,
        "LIKEPERSON_AUTH_SECRET": SECRET,
        "LIKEPERSON_LOG_LEVEL": "warning",
    }
    command = ["taskset", "-c", "0", sys.executable, "-m", *module, "--port", str(port)]
    with subprocess.Popen(command, env=environment) as process:
        try:
            wait_until_ready(f"http://127.0.0.1:{port}/readyz")
            url = f"http://127.0.0.1:{port}/graphql"
            yield Target(name, url, process.pid, own_ids=name == "likeperson")
        finally:
            process.terminate()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Round:
    measured: Measured
    cpu: float


def measure(target: Target, case: str, options: argparse.Namespace) -> Round:
    share = SHARE[target.name] * WEIGHT[case]
    count = max(2 * options.connections, int(options.requests * share))
    made = requests(target, case, count)
    before = cpu_seconds(target.pid)
    measured = uvloop.run(saturate(target.url, made, options.connections))
    return Round(measured, cpu_seconds(target.pid) - before)


def report(case: str, results: dict[str, list[Round]]) -> None:
    for name, rounds in results.items():
        rate = statistics.median(len(r.measured.acks) / r.measured.span for r in rounds)
        p50 = statistics.median(r.measured.percentile_ms(0.5) for r in rounds)
        p99 = statistics.median(r.measured.percentile_ms(0.99) for r in rounds)
        cpu = statistics.median(1000 * r.cpu / len(r.measured.acks) for r in rounds)
        refused = sum(sum(r.measured.refused.values()) for r in rounds)
        print(
            f"{case:<8} {name:<22} {rate:7.0f}/s   p50 {p50:7.1f} ms   p99 {p99:7.1f} ms   "
            f"CPU {cpu:6.2f} s per 1,000   refused {refused}"
        )


def main() -> None:
    options = _options()
    os.sched_setaffinity(0, set(os.sched_getaffinity(0)) - {0})
    with durable_postgres() as database:
        environment = {**os.environ, "LIKEPERSON_DATABASE_URL": database}
        command = [sys.executable, "-m", "app", "migrate"]
        subprocess.run(command, env=environment, check=True)
        asyncio.run(seed(database))
        with ExitStack() as stack:
            targets = [
                stack.enter_context(server(name, module, database, port))
                for port, (name, module) in enumerate(SERVERS.items(), options.port)
                if name in options.targets
            ]
            for case in options.cases:
                for target in targets:
                    check(target, case)
                results: dict[str, list[Round]] = {target.name: [] for target in targets}
                for _ in range(options.rounds):
                    for target in targets:
                        results[target.name].append(measure(target, case, options))
                report(case, results)
            if options.hold:
                print("holding", *(f"{t.name} {t.url} {t.pid}" for t in targets), flush=True)
                input()


def check(target: Target, case: str) -> None:
    """Fails unless the target answers the query completely."""
    raw = requests(target, case, 1)[0]
    head, _, body = raw.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    answer = httpx.post(target.url, content=body, headers=headers).json()
    assert "errors" not in answer, answer  # noqa: S101
    data = answer["data"]
    size = len(data[case]["edges"]) if case != "viewer" else bool(data["viewer"]["member"])
    assert size == {"members": 100, "syncLog": 50, "viewer": True}[case], data  # noqa: S101


SERVERS = {
    "likeperson": ["app", "serve"],
    "idiomatic Strawberry": [
        "uvicorn", "bench.idiomatic:app", "--no-access-log", "--loop", "uvloop", "--http",
        "httptools", "--log-level", "warning",
    ],
}  # fmt: skip
# So that a round of each takes about as long.
WEIGHT = {"members": 0.1, "viewer": 1.0, "syncLog": 0.7}
SHARE = {"likeperson": 1.0, "idiomatic Strawberry": 0.1}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.reads")
    add = parser.add_argument
    add("--cases", nargs="+", default=list(DOCUMENTS), choices=list(DOCUMENTS))
    add("--targets", nargs="+", default=list(SERVERS), choices=list(SERVERS))
    add("--requests", type=int, default=5_000, help="per round of the fastest; fewer of others")
    add("--rounds", type=int, default=3)
    add("--connections", type=int, default=32)
    add("--port", type=int, default=8110)
    add("--hold", action="store_true", help="keep the servers afterwards, to look at them")
    return parser.parse_args()


if __name__ == "__main__":
    main()
