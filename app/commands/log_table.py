"""The sync log in the terminal: a table, or a line of JSON for each entry."""

from collections.abc import AsyncIterator, Iterable

import msgspec
from rich.table import Table

from db.database import Database
from db.feed.change_feed import LiveFeed
from db.feed.changes import feed_head
from db.queries.entries import EntryFilter, EntryRow, entries_by_id, entry_facts, entry_page
from db.queries.keyset import PageRequest
from db.queries.visibility import Sight
from db.vocabulary import EntryId

_EVERYTHING = Sight(everything=True)
_PATIENCE_SECONDS = 60.0
_YIELDING = ("event", "detail")
_COLUMNS = ("received (UTC)", "source", "event", "type", "status", "outcome", "tries", "detail")


async def newest_entries(database: Database, filter: EntryFilter, limit: int) -> list[EntryRow]:
    """The newest ones, the oldest of them first."""
    async with database.read() as session:
        page = await entry_page(session, _EVERYTHING, filter, PageRequest(limit))
    return list(reversed(page.rows))


async def coming_entries(
    database: Database, feed: LiveFeed, filter: EntryFilter
) -> AsyncIterator[EntryRow]:
    """Every entry that is added or changed from now on, as it then is; endless."""
    async with database.read() as session:
        head = await feed_head(session)
    async with feed.follow(head.position) as follower:
        while True:
            changes = await follower.next_changes(_PATIENCE_SECONDS)
            ids = [EntryId(change.entry_id) for change in changes if change.entry_id is not None]
            async with database.read() as session:
                found = await entries_by_id(session, _EVERYTHING, ids)
            for id in dict.fromkeys(ids):
                if id in found and filter.matches(entry_facts(found[id])):
                    yield found[id]


def as_table(entries: Iterable[EntryRow], *, header: bool = True) -> Table:
    table = Table(box=None, show_header=header, header_style="bold")
    for name in _COLUMNS:
        # What is short stays whole; ids and remarks give way in a narrow terminal.
        table.add_column(name, no_wrap=name not in _YIELDING, overflow="fold")
    for entry in entries:
        table.add_row(
            f"{entry.received_at:%Y-%m-%d %H:%M:%S}",
            entry.source,
            entry.event_id,
            entry.event_type or "?",
            entry.status.value,
            entry.outcome.value if entry.outcome else "",
            str(entry.attempts),
            entry.detail or "",
        )
    return table


def as_json(entry: EntryRow) -> str:
    """Without personal data: of what changed, only the names of the fields."""
    return msgspec.json.encode(
        {
            "id": entry.id,
            "source": entry.source,
            "eventId": entry.event_id,
            "eventType": entry.event_type,
            "occurredAt": entry.occurred_at,
            "receivedAt": entry.received_at,
            "processedAt": entry.processed_at,
            "status": entry.status,
            "outcome": entry.outcome,
            "detail": entry.detail,
            "attempts": entry.attempts,
            "deliveries": entry.deliveries,
            "nextAttemptAt": entry.next_attempt_at,
            "changedFields": [change.field for change in entry.field_changes],
        }
    ).decode()
