"""The options by which `log` and `replay` choose entries of the sync log."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from db.queries.log.entries import EntryFilter
from db.vocabulary import SyncOutcome, SyncStatus

Status = Annotated[
    list[SyncStatus] | None, typer.Option(help="Entries with this status; may be repeated.")
]
Outcome = Annotated[
    list[SyncOutcome] | None, typer.Option(help="Entries with this outcome; may be repeated.")
]
Type = Annotated[
    list[str] | None, typer.Option(help="Entries of this event type; may be repeated.")
]
Source = Annotated[list[str] | None, typer.Option(help="Entries of this source; may be repeated.")]


def read_time(text: str) -> datetime:
    """Reads a time; one without a zone is UTC."""
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
        parser=read_time,
        metavar="TIME",
        help="Entries received at this time or later, such as 2026-11-23T09:30:00; UTC unless it "
        "has a zone.",
    ),
]
Before = Annotated[
    datetime | None,
    typer.Option(parser=read_time, metavar="TIME", help="Entries received before this time."),
]


def entry_filter(
    status: list[SyncStatus] | None,
    outcome: list[SyncOutcome] | None,
    type: list[str] | None,
    source: list[str] | None,
    since: datetime | None,
    before: datetime | None,
) -> EntryFilter:
    """Returns the filter that the options state."""
    return EntryFilter(
        statuses=frozenset(status) if status else None,
        outcomes=frozenset(outcome) if outcome else None,
        event_types=frozenset(type) if type else None,
        sources=frozenset(source) if source else None,
        received_from=since,
        received_before=before,
    )
