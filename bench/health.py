"""Measures what an administrator's page asks of the log: `.venv/bin/python -m bench.health --help`.

The service has a log of one day, without any failed event, on SQLite or on a PostgreSQL of its own.
With --beside, the service of another checkout is asked the same in turn, on a database of its own.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import create_async_engine

from bench.ingest import databases, own_service
from bench.load import GRAPHQL_HEADERS, http_request, saturate
from bench.reads import SECRET, operator_token
from db.tables.models import SyncLogEntry

DAY = 86_400.0
PIECE = 5000
COUNTS = "{ received succeeded skipped waiting dead rejected }"
CONCERN = "{ id kind source since state count acknowledgedBy acknowledgedAt }"
QUERIES = {
    "polled by the console": f"{{ syncHealth {{ concerns {CONCERN} }} }}",
    "page of health": f"""{{ syncHealth {{ concerns {CONCERN} lastReceivedAt waiting
        oldestWaitingSince dead lagP95Ms lastHour {COUNTS} lastDay {COUNTS}
        hours {{ begins counts {COUNTS} }}
        rejections {{ reason lastHour lastDay }} }} }}""",
    "log, newest first": "{ syncLog(first: 50) { edges { node { id status detail } } } }",
    "log, none has failed": """{ syncLog(filter: {status: [FAILED]}, first: 50) {
        edges { node { id status detail } } } }""",
}


async def fill(url: str, entries: int) -> None:
    """Writes entries of the last day, every hundredth of them rejected."""
    engine = create_async_engine(url)
    start = datetime.now(UTC) - timedelta(seconds=DAY)
    async with engine.begin() as connection:
        for first in range(0, entries, PIECE):
            rows = [
                _entry(number, start + timedelta(seconds=number * DAY / entries))
                for number in range(first, min(first + PIECE, entries))
            ]
            await connection.execute(insert(SyncLogEntry), rows)
    await engine.dispose()


def _entry(number: int, received_at: datetime) -> dict[str, object]:
    rejected = number % 100 == 0
    return {
        "id": number + 1,
        "source": "portal",
        "event_id": f"evt_{number}",
        "event_type": "membership-updated",
        "received_at": received_at,
        "processed_at": None if rejected else received_at + timedelta(milliseconds=number % 50),
        "status": "REJECTED" if rejected else "SUCCESS",
        "outcome": None if rejected else "UPDATED",
        "detail": "`$.data.member.id` is missing." if rejected else None,
        "attempts": 1,
        "deliveries": 1,
        "field_changes": [],
        "payload": b"x" * 600,
    }


def median_ms(port: int, query: str, count: int) -> float:
    url = f"http://127.0.0.1:{port}/graphql"
    headers = {**GRAPHQL_HEADERS, "authorization": f"Bearer {operator_token()}"}
    request = http_request(url, json.dumps({"query": query}).encode(), headers)
    measured = uvloop.run(saturate(url, [request] * count, 1))
    if measured.refused:
        raise SystemExit(f"{url} answered {measured.refused}.")
    return measured.percentile_ms(0.5)


def report(query: str, milliseconds: Sequence[Sequence[float]]) -> None:
    medians = "   ".join(f"{statistics.median(each):8.1f} ms" for each in milliseconds)
    print(f"{query:<24} {medians}")


def main() -> None:
    options = _options()
    os.environ["LIKEPERSON_AUTH_SECRET"] = SECRET
    checkouts = [None, options.beside.resolve()] if options.beside else [None]
    with ExitStack() as stack, databases(options.database) as new_database:
        ports = range(options.port, options.port + len(checkouts))
        for port, checkout in zip(ports, checkouts, strict=True):
            url = new_database()
            python = str(checkout / ".venv/bin/python") if checkout else sys.executable
            environment = {**os.environ, "LIKEPERSON_DATABASE_URL": url}
            migrate = [python, "-m", "app", "migrate"]
            subprocess.run(migrate, env=environment, cwd=checkout, check=True)
            asyncio.run(fill(url, options.entries))
            stack.enter_context(own_service(url, port, checkout))
        for name, query in QUERIES.items():
            found: list[list[float]] = [[] for _ in ports]
            for _ in range(options.rounds):
                for port, each in zip(ports, found, strict=True):
                    each.append(median_ms(port, query, options.requests))
            report(name, found)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.health")
    add = parser.add_argument
    add("--database", default="sqlite", help="sqlite or postgresql")
    add("--entries", type=int, default=24_000)
    add("--requests", type=int, default=20, help="a round")
    add("--rounds", type=int, default=5)
    add("--port", type=int, default=8110)
    add("--beside", type=Path, metavar="CHECKOUT", help="asked in turn, with its own .venv")
    return parser.parse_args()


if __name__ == "__main__":
    main()
