"""Reads files of members, CSV or JSON lines, a line at a time.

Each line becomes an event that states what the line says. A line that cannot be read is told with
its number and the reason; the others are read on.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import msgspec

from sync.errors import RejectedError
from sync.events import ChapterEvent, Event, EventType, RowMessage, UnknownEvent
from sync.parsing.parser import parse_event

COLUMNS = (
    "portalId",
    "memberNumber",
    "givenName",
    "familyName",
    "email",
    "phone",
    "organizationId",
    "organizationName",
    "organizationParentId",
    "roles",
    "state",
    "changedAt",
)
_PROFILE = COLUMNS[1:6]
_DELIMITERS = ",;\t"
_LONGEST_LINE = 1024 * 1024


class FileFormatError(Exception):
    """The file as a whole cannot be read. The message says why, and what is expected."""


class WrongLineError(Exception):
    """The message says what is wrong with a line."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that was read. `dated`: it says itself when it was so."""

    number: int
    event: Event
    body: bytes
    dated: bool


@dataclass(frozen=True, slots=True)
class WrongLine:
    number: int
    reason: str


def read_lines(file: Path, at: datetime) -> Iterator[Line | WrongLine]:
    """Yields the lines in their order. `at` is the time of what a line says without `changedAt`.

    Raises FileFormatError or OSError.
    """
    with file.open("rb") as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        try:
            beginning = text.read(1)
            text.seek(0)
            yield from (_json_lines if beginning == "{" else _csv_lines)(text, at)
        except UnicodeDecodeError as error:
            raise FileFormatError(
                f"{file} is not UTF-8. In Excel, save it as “CSV UTF-8 (comma delimited)”."
            ) from error
        except csv.Error as error:
            raise FileFormatError(f"{file} is no CSV: {error}.") from error


def _csv_lines(text: IO[str], at: datetime) -> Iterator[Line | WrongLine]:
    csv.field_size_limit(_LONGEST_LINE)
    first = text.readline()
    delimiter = max(_DELIMITERS, key=first.count)
    header = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
    _check_header(header)
    rows = csv.reader(text, delimiter=delimiter, strict=True)
    for row in rows:
        # A field may hold line breaks; the number is that of the last line of the row.
        number = rows.line_num + 1
        if not any(field.strip() for field in row):
            continue
        if len(row) != len(header):
            reason = f"has {len(row)} fields, and the header names {len(header)}"
            yield WrongLine(number, reason)
            continue
        yield _line(number, dict(zip(header, row, strict=True)), at)


def _check_header(header: list[str]) -> None:
    unknown = [name for name in header if name not in COLUMNS]
    twice = {name for name in header if header.count(name) > 1}
    if unknown or twice or "portalId" not in header:
        found = ", ".join(repr(name) for name in unknown or sorted(twice)) or "no portalId"
        raise FileFormatError(
            f"The first line must name the columns, portalId among them; it has {found}. "
            f"Columns: {', '.join(COLUMNS)}. Between them: a comma, a semicolon or a tab."
        )


def _json_lines(text: IO[str], at: datetime) -> Iterator[Line | WrongLine]:
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        try:
            document = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield WrongLine(number, f"is not JSON: {error}")
            continue
        if not isinstance(document, dict):
            yield WrongLine(number, "is not a JSON object")
        elif "data" in document:
            yield _read(number, document, dated=True)
        elif unknown := sorted(document.keys() - set(COLUMNS)):
            yield WrongLine(number, f"has the unknown field {unknown[0]!r}")
        else:
            yield _line(number, document, at)


def _line(number: int, row: Mapping[str, Any], at: datetime) -> Line | WrongLine:
    try:
        document = _document(row, at)
    except WrongLineError as error:
        return WrongLine(number, str(error))
    return _read(number, document, dated=bool(_field(row, "changedAt")))


def _read(number: int, document: Mapping[str, Any], *, dated: bool) -> Line | WrongLine:
    return read_event(number, msgspec.json.encode(document), dated=dated)


def read_event(number: int, body: bytes, *, dated: bool) -> Line | WrongLine:
    """Returns the line of an event. `dated`: its time is that of what it says, and not that of its
    reading."""
    try:
        event = parse_event(body)
    except RejectedError as error:
        return WrongLine(number, str(error))
    if isinstance(event, RowMessage):
        return WrongLine(number, "only points at a row")
    if isinstance(event, UnknownEvent):
        return WrongLine(number, f"has an event of the unknown type {event.type!r}")
    if isinstance(event, ChapterEvent):
        return WrongLine(number, "has an event about a chapter; a file tells of members")
    return Line(number, event, body, dated)


def _document(row: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """Returns the event of a line, without what the line does not name."""
    member: dict[str, Any] = {"id": _field(row, "portalId")}
    if not member["id"]:
        raise WrongLineError("has no portalId")
    member |= {name: _field(row, name) for name in _PROFILE if name in row}
    data: dict[str, Any] = {"member": member}
    if "organizationId" in row:
        data["organization"] = _organization(row)
    if "roles" in row:
        data["roles"] = list(_roles(row["roles"]))
    if "state" in row:
        data["state"] = _state(row)
    stated_at = _changed_at(row) or at
    return {
        "type": EventType.MEMBERSHIP_STATED.value,
        "timestamp": stated_at.astimezone(UTC).isoformat(),
        "data": data,
    }


def _field(row: Mapping[str, Any], name: str) -> str | None:
    value = row.get(name)
    if value is None:
        return None
    if not isinstance(value, str | int):
        raise WrongLineError(f"has a {name} that is no text")
    return str(value).strip() or None


def _organization(row: Mapping[str, Any]) -> dict[str, Any] | None:
    id = _field(row, "organizationId")
    if id is None:
        return None
    organization: dict[str, Any] = {"id": id}
    if name := _field(row, "organizationName"):
        organization["name"] = name
    if "organizationParentId" in row:
        organization["parentId"] = _field(row, "organizationParentId")
    return organization


def _roles(value: object) -> Iterator[dict[str, str]]:
    """Yields the roles of a text of `code` or `code@organizationId`, separated by `|`, or of a list
    of these."""
    parts = value if isinstance(value, list) else str(value or "").split("|")
    for part in parts:
        code, at, where = str(part).strip().partition("@")
        if not code and not at:
            continue
        if not code or (at and not where):
            raise WrongLineError(f"has the role {part!r}; write code or code@organizationId")
        yield {"code": code.strip(), **({"organizationId": where.strip()} if at else {})}


def _state(row: Mapping[str, Any]) -> str:
    state = (_field(row, "state") or "").upper()
    if state not in ("ACTIVE", "INACTIVE"):
        raise WrongLineError(f"has the state {row['state']!r}; it is ACTIVE or INACTIVE")
    return state


def _changed_at(row: Mapping[str, Any]) -> datetime | None:
    text = _field(row, "changedAt")
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise WrongLineError(
            f"has the changedAt {text!r}; write a time such as 2026-11-23T09:30:00Z"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
