"""Entries in the terminal: whatever a sender wrote is shown, and does nothing."""

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from app.commands.log.log_table import as_json, as_table
from app.commands.plain_text import plain
from db.queries.log.entries import EntryRow
from db.vocabulary import EntryId, SyncStatus

HIDDEN = {
    "\x1b[31m": r"\u001b[31m",
    "\u009b31m": r"\u009b31m",
    "a\nb": r"a\u000ab",
    "\u202egnp.exe": r"\u202egnp.exe",
    "Ka\u200bri": r"Ka\u200bri",
    "\ufeffKari": r"\ufeffKari",
    "\U000e0041": r"\udb40\udc41",
    "\ud800": r"\ud800",
    "\u2028": r"\u2028",
}


@pytest.mark.parametrize("text", HIDDEN)
def test_invisible_characters_are_written_as_escapes(text: str) -> None:
    assert plain(text) == HIDDEN[text]


@pytest.mark.parametrize("text", ["", "Kari Nordmann", "Åse Ærøy", "[/type] \\u202e", "日本 🙂"])
def test_visible_text_stays_as_it_is(text: str) -> None:
    assert plain(text) == text


def entry(detail: str) -> EntryRow:
    given: dict[str, Any] = dict.fromkeys(EntryRow.__struct_fields__)
    given |= {
        "id": EntryId(1),
        "source": "portal",
        "event_id": "evt_1",
        "received_at": datetime(2026, 11, 23, 9, 30, tzinfo=UTC),
        "status": SyncStatus.FAILED,
        "detail": detail,
        "field_changes": [],
    }
    return EntryRow(**given)


def shown(row: EntryRow) -> str:
    terminal = io.StringIO()
    Console(file=terminal, force_terminal=True, width=250).print(as_table([row], header=False))
    return terminal.getvalue()


@pytest.mark.parametrize(
    "text", [*HIDDEN, "[/type]", "[red]x", "[link=https://evil.example]x", ":x:"]
)
def test_table_shows_markup_and_invisible_characters_as_text(text: str) -> None:
    output = shown(entry(text))

    assert plain(text) in output
    assert "\x1b[31m" not in output
    assert "evil.example\x1b" not in output


# Half a character is in no database.
@pytest.mark.parametrize("text", sorted(HIDDEN.keys() - {"\ud800"}))
def test_json_has_no_invisible_characters_and_means_the_same(text: str) -> None:
    line = as_json(entry(text))

    assert line.isprintable()
    assert json.loads(line)["detail"] == text
