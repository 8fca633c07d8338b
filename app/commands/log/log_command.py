"""The command `log`: shows the sync log, and goes on with what comes."""

import sys
from collections.abc import AsyncIterator
from typing import Annotated

import typer
from rich.console import Console

from app.commands.log.event_options import (
    Before,
    Outcome,
    Since,
    Source,
    Status,
    Type,
    entry_filter,
)
from app.commands.log.log_table import as_json, as_table
from app.server import run_until_interrupted
from app.services import open_database
from app.settings import Settings, load_settings
from db.database import Database
from db.feed.change_feed import LiveFeed
from db.feed.changes import feed_head
from db.queries.keyset import PageRequest
from db.queries.log.entries import EntryFilter, EntryRow, entries_by_id, entry_facts, entry_page
from db.queries.members.visibility import EVERYTHING
from db.vocabulary import EntryId

# Lines in a file or a pipe may be longer than those of a terminal.
_PIPE_WIDTH = 250
_POLL_SECONDS = 60.0


def log(
    status: Status = None,
    outcome: Outcome = None,
    type: Type = None,
    source: Source = None,
    since: Since = None,
    before: Before = None,
    limit: Annotated[
        int, typer.Option(help="How many of the newest entries to show.", min=1, max=10_000)
    ] = 20,
    as_json_lines: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each entry.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with new entries until Ctrl-C.")
    ] = False,
) -> None:
    """Show the sync log: what the portal sent, and what became of it."""
    filter = entry_filter(status, outcome, type, source, since, before)
    run_until_interrupted(
        _show_log(load_settings(), filter, limit, json=as_json_lines, follow=follow)
    )


async def _show_log(
    settings: Settings, filter: EntryFilter, limit: int, *, json: bool, follow: bool
) -> None:
    console = Console() if sys.stdout.isatty() else Console(width=_PIPE_WIDTH)

    def show(entries: list[EntryRow], *, header: bool) -> None:
        if json:
            for entry in entries:
                typer.echo(as_json(entry))
        else:
            console.print(as_table(entries, header=header))

    async with open_database(settings) as (database, bell), LiveFeed(database, bell) as feed:
        show(await _newest_entries(database, filter, limit), header=True)
        if follow:
            async for entry in _later_entries(database, feed, filter):
                show([entry], header=False)


async def _newest_entries(database: Database, filter: EntryFilter, limit: int) -> list[EntryRow]:
    """Returns the newest entries, the oldest of them first."""
    async with database.read() as session:
        page = await entry_page(session, EVERYTHING, filter, PageRequest(limit))
    return list(reversed(page.rows))


async def _later_entries(
    database: Database, feed: LiveFeed, filter: EntryFilter
) -> AsyncIterator[EntryRow]:
    """Yields each entry that is added or changed from now on, as it then is. Never ends."""
    async with database.read() as session:
        head = await feed_head(session)
    async with feed.follow(head.position) as follower:
        while True:
            changes = await follower.next_changes(_POLL_SECONDS)
            ids = [EntryId(change.entry_id) for change in changes if change.entry_id is not None]
            async with database.read() as session:
                found = await entries_by_id(session, EVERYTHING, ids)
            for id in dict.fromkeys(ids):
                if id in found and filter.matches(entry_facts(found[id])):
                    yield found[id]
