"""The sync log in the terminal."""

from collections.abc import Iterable

import msgspec
from rich.table import Table

from db.sync_log import EntryRow

_COLUMNS = ("received", "source", "event", "type", "status", "outcome", "tries", "detail")


def as_table(entries: Iterable[EntryRow]) -> Table:
    table = Table(*_COLUMNS, box=None, header_style="bold")
    for entry in entries:
        table.add_row(*as_cells(entry))
    return table


def as_cells(entry: EntryRow) -> tuple[str, ...]:
    return (
        f"{entry.received_at:%Y-%m-%d %H:%M:%S}",
        entry.source,
        entry.event_id,
        entry.event_type or "?",
        entry.status.value,
        entry.outcome.value if entry.outcome else "",
        str(entry.attempts),
        entry.detail or "",
    )


def as_json(entry: EntryRow) -> str:
    """One line, without personal data: the changed fields by name only."""
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
