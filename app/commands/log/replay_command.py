"""The command `replay`: applies recorded events again."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress as ProgressBar

from app.commands.actor import command_line_actor
from app.commands.log.event_options import (
    Before,
    Outcome,
    Since,
    Source,
    Status,
    Type,
    entry_filter,
)
from app.services import open_database, utc_now
from app.settings import Settings, load_settings
from db.queries.log.attempt_records import matching_entry_ids
from db.queries.log.entries import EntryFilter
from db.queries.members.visibility import EVERYTHING
from db.vocabulary import EntryId
from sync.recording.replay import Replayed, ReplayRequest, replay_entries

MAX_EVENTS = 1_000_000


def replay(
    id: Annotated[
        list[int] | None, typer.Option(help="The entry with this `id` (log --json); repeatable.")
    ] = None,
    status: Status = None,
    outcome: Outcome = None,
    type: Type = None,
    source: Source = None,
    since: Since = None,
    before: Before = None,
    reason: Annotated[str | None, typer.Option(help="Why; kept in the history.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how many match and what would change.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Apply recorded events again. What is newer still wins, so it is always safe."""
    filter = entry_filter(status, outcome, type, source, since, before)
    if filter == EntryFilter() and id is None:
        raise typer.BadParameter("Say which events: --id, --status, --type, --since, …")
    ids = None if id is None else [EntryId(number) for number in id]
    settings = load_settings()
    matching = asyncio.run(_matching(settings, filter, ids))
    typer.echo(f"{len(matching)} event(s) match.")
    if not matching or not (dry_run or yes or typer.confirm("Replay them?")):
        return
    request = ReplayRequest(command_line_actor(), reason, dry_run)
    _show(asyncio.run(_replay(settings, matching, request)), dry_run=dry_run)


async def _matching(
    settings: Settings, filter: EntryFilter, ids: list[EntryId] | None
) -> list[EntryId]:
    async with open_database(settings) as (database, _), database.read() as session:
        return await matching_entry_ids(session, EVERYTHING, filter, limit=MAX_EVENTS, ids=ids)


async def _replay(settings: Settings, ids: list[EntryId], request: ReplayRequest) -> Replayed:
    async with open_database(settings) as (database, _):
        with ProgressBar(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("Replaying", total=len(ids))

            def show(replayed: Replayed) -> None:
                bar.update(task, completed=replayed.matched)

            return await replay_entries(database, ids, request, utc_now, show)


def _show(replayed: Replayed, *, dry_run: bool) -> None:
    done = "would be replayed" if dry_run else "replayed"
    typer.echo(f"{replayed.matched} event(s) {done}; {replayed.changed} change a member.")
    for status, count in sorted(replayed.statuses.items()):
        typer.echo(f"  {status.value:<12} {count}")
    for outcome, count in sorted(replayed.outcomes.items()):
        typer.echo(f"  {outcome.value:<12} {count}")
