"""Entries of the sync log for the terminal: a table, or a line of JSON for each."""

from collections.abc import Iterable

import msgspec
from rich.table import Table
from rich.text import Text

from app.commands.plain_text import plain
from db.queries.log.entries import EntryRow

_WRAPPED_COLUMNS = ("event", "detail")
_COLUMNS = ("received (UTC)", "source", "event", "type", "status", "outcome", "tries", "detail")


def as_table(entries: Iterable[EntryRow], *, header: bool = True) -> Table:
    table = Table(box=None, show_header=header, header_style="bold")
    for name in _COLUMNS:
        # In a narrow terminal ids and details are wrapped, so that the short columns stay whole.
        table.add_column(name, no_wrap=name not in _WRAPPED_COLUMNS, overflow="fold")
    for entry in entries:
        cells = (
            f"{entry.received_at:%Y-%m-%d %H:%M:%S}",
            entry.source,
            entry.event_id,
            entry.event_type or "?",
            entry.status.value,
            entry.outcome.value if entry.outcome else "",
            str(entry.attempts),
            entry.detail or "",
        )
        # As Text, since strings would be read as markup.
        table.add_row(*(Text(plain(cell)) for cell in cells))
    return table


def as_json(entry: EntryRow) -> str:
    """Returns the entry without personal data: the names of changed fields, not their values."""
    encoded = msgspec.json.encode(
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
    )
    return plain(encoded.decode())
