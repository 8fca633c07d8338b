"""Commands for whoever runs the service: the retry worker alone, the log, and replay."""

import asyncio
import getpass
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress as ProgressBar

from app.commands.log_table import as_json, as_table, coming_entries, newest_entries
from app.server import configure_logging, run_until_interrupted
from app.services import open_database, utc_now
from app.settings import Settings, load_settings
from db.database import Database
from db.feed.change_feed import LiveFeed
from db.queries.attempts import matching_entry_ids
from db.queries.entries import EntryFilter, EntryRow
from db.queries.visibility import Sight
from db.vocabulary import EntryId, SyncOutcome, SyncStatus
from sync.replay import Replayed, Request, replay_entries
from sync.worker import RetryWorker

MAX_EVENTS = 1_000_000
WIDE = 250

Status = Annotated[
    list[SyncStatus] | None, typer.Option(help="With this status; may be given several times.")
]
Outcome = Annotated[
    list[SyncOutcome] | None, typer.Option(help="With this outcome; may be given several times.")
]
Type = Annotated[
    list[str] | None, typer.Option(help="Of this event type; may be given several times.")
]
Source = Annotated[
    list[str] | None, typer.Option(help="From this source; may be given several times.")
]


def _moment(text: str) -> datetime:
    """Without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(
            f"{text!r} is not a time such as 2026-11-23T09:30:00 (UTC) or "
            "2026-11-23T09:30:00+01:00."
        ) from error


Since = Annotated[
    datetime | None,
    typer.Option(
        parser=_moment,
        metavar="TIME",
        help="Received at this time or later, 2026-11-23T09:30:00; UTC unless it has a zone.",
    ),
]
Before = Annotated[
    datetime | None,
    typer.Option(parser=_moment, metavar="TIME", help="Received before this time."),
]


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[Database, LiveFeed]]:
    async with open_database(settings) as (database, bell), LiveFeed(database, bell) as feed:
        yield database, feed


def worker() -> None:
    """Run the retry worker alone, without a web server. Several may run at the same time."""
    settings = load_settings()
    configure_logging(settings)
    typer.echo("The retry worker runs. Ctrl-C stops it.", err=True)
    run_until_interrupted(_work(settings))


async def _work(settings: Settings) -> None:
    async with _opened(settings) as (database, feed), RetryWorker(database, feed, utc_now):
        await asyncio.Event().wait()


def log(
    status: Status = None,
    outcome: Outcome = None,
    type: Type = None,
    source: Source = None,
    since: Since = None,
    before: Before = None,
    limit: Annotated[int, typer.Option(help="How many of the newest.", min=1, max=10_000)] = 20,
    as_json_lines: Annotated[
        bool, typer.Option("--json", help="A line of JSON for each entry.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes; Ctrl-C stops.")
    ] = False,
) -> None:
    """Show the sync log: what the portal told, and what became of it."""
    filter = _filter(status, outcome, type, source, since, before)
    run_until_interrupted(
        _show_log(load_settings(), filter, limit, json=as_json_lines, follow=follow)
    )


async def _show_log(
    settings: Settings, filter: EntryFilter, limit: int, *, json: bool, follow: bool
) -> None:
    # Into a file or a pipe, a line may be as long as it needs to be.
    console = Console() if sys.stdout.isatty() else Console(width=WIDE)

    def show(entries: list[EntryRow], *, header: bool) -> None:
        if json:
            for entry in entries:
                typer.echo(as_json(entry))
        else:
            console.print(as_table(entries, header=header))

    async with _opened(settings) as (database, feed):
        show(await newest_entries(database, filter, limit), header=True)
        if follow:
            async for entry in coming_entries(database, feed, filter):
                show([entry], header=False)


def replay(
    id: Annotated[
        list[int] | None, typer.Option(help="This entry (`id` of log --json); several times.")
    ] = None,
    status: Status = None,
    outcome: Outcome = None,
    type: Type = None,
    source: Source = None,
    since: Since = None,
    before: Before = None,
    reason: Annotated[str | None, typer.Option(help="Why; kept in the history.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell how many there are and what would change.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Apply recorded events again. What is newer still wins, so it is always safe."""
    filter = _filter(status, outcome, type, source, since, before)
    if filter == EntryFilter() and id is None:
        raise typer.BadParameter("Say which events: --id, --status, --type, --since, …")
    ids = None if id is None else [EntryId(number) for number in id]
    settings = load_settings()
    matching = asyncio.run(_matching(settings, filter, ids))
    typer.echo(f"{len(matching)} event(s) match.")
    if not matching or not (dry_run or yes or typer.confirm("Replay them?")):
        return
    request = Request(f"command line ({_user()})", reason, dry_run)
    _say(asyncio.run(_replay(settings, matching, request)), dry_run=dry_run)


def _user() -> str:
    """Their number where nobody has given them a name, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


async def _matching(
    settings: Settings, filter: EntryFilter, ids: list[EntryId] | None
) -> list[EntryId]:
    async with _opened(settings) as (database, _), database.read() as session:
        everything = Sight(everything=True)
        return await matching_entry_ids(session, everything, filter, limit=MAX_EVENTS, ids=ids)


async def _replay(settings: Settings, ids: list[EntryId], request: Request) -> Replayed:
    async with _opened(settings) as (database, _):
        with ProgressBar(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("Replaying", total=len(ids))

            def show(replayed: Replayed) -> None:
                bar.update(task, completed=replayed.matched)

            return await replay_entries(database, ids, request, utc_now, show)


def _say(replayed: Replayed, *, dry_run: bool) -> None:
    done = "would be replayed" if dry_run else "replayed"
    typer.echo(f"{replayed.matched} event(s) {done}; {replayed.changed} change a member.")
    for status, count in sorted(replayed.statuses.items()):
        typer.echo(f"  {status.value:<12} {count}")
    for outcome, count in sorted(replayed.outcomes.items()):
        typer.echo(f"  {outcome.value:<12} {count}")


def _filter(
    status: list[SyncStatus] | None,
    outcome: list[SyncOutcome] | None,
    type: list[str] | None,
    source: list[str] | None,
    since: datetime | None,
    before: datetime | None,
) -> EntryFilter:
    return EntryFilter(
        statuses=frozenset(status) if status else None,
        outcomes=frozenset(outcome) if outcome else None,
        event_types=frozenset(type) if type else None,
        sources=frozenset(source) if source else None,
        received_from=since,
        received_before=before,
    )
