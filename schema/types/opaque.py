"""Opaque texts for clients: global ids, page cursors and change cursors. What was not made here is
refused, naming the argument it came in."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from db.feed.changes import Cursor
from db.queries.keyset import KeyValues
from db.vocabulary import Position
from schema.errors import BadUserInputError

T = TypeVar("T")

MAX_ROW_ID = 2**63 - 1
NODE_TYPES = ("Member", "Organization", "Role", "SyncLogEntry")
"""The types whose ids are made here."""


def storable(text: str, argument: str) -> str:
    """Raises BadUserInputError for text that no database row can hold, so none can match."""
    if "\0" in text or (not text.isprintable() and any("\ud800" <= c <= "\udfff" for c in text)):
        raise BadUserInputError("This is not text: it holds NUL or half a character.", argument)
    return text


def global_id(type_name: str, row_id: int) -> str:
    return _to_text(f"{type_name}:{row_id}".encode())


def parse_global_id(text: str, argument: str) -> tuple[str, int]:
    """Raises BadUserInputError."""
    type_name, _, number = (
        _from_text(text, argument, "an id").decode("ascii", "replace").partition(":")
    )
    if (
        type_name not in NODE_TYPES
        or not (number.isascii() and number.isdecimal())
        or int(number[:20]) > MAX_ROW_ID
    ):
        raise _foreign("an id", argument)
    return type_name, int(number)


def row_id(text: str, type_name: str, argument: str) -> int:
    """Raises BadUserInputError, also for an id of another type."""
    found, number = parse_global_id(text, argument)
    if found != type_name:
        raise BadUserInputError(f"This is the id of no {type_name}.", argument)
    return number


def page_cursor(order: str, key: KeyValues) -> str:
    """`order` names the order the key belongs to: a cursor is of no use in another one."""
    return _to_text(msgspec.json.encode([order, *key]))


def parse_page_cursor(text: str, order: str, types: tuple[type, ...], argument: str) -> KeyValues:
    """Raises BadUserInputError, also for a cursor of another order."""
    raw = _from_text(text, argument, "a cursor")
    try:
        found, *values = msgspec.json.decode(raw, type=list[msgspec.Raw])
        if msgspec.json.decode(found, type=str) != order or len(values) != len(types):
            raise BadUserInputError("This cursor belongs to another list or order.", argument)
        key: KeyValues = tuple(
            msgspec.json.decode(value, type=type) for value, type in zip(values, types, strict=True)
        )
        return tuple(_key_value(value, argument) for value in key)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise _foreign("a cursor", argument) from error


def _key_value(value: Any, argument: str) -> Any:
    """Raises BadUserInputError, ValueError or OverflowError for what no row can have."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("A time without a zone.")
        return value.astimezone(UTC)
    if isinstance(value, int) and abs(value) > MAX_ROW_ID:
        raise ValueError("A number that is too large.")
    return storable(value, argument) if isinstance(value, str) else value


def change_cursor(cursor: Cursor) -> str:
    return _to_text(f"{cursor.feed_id}:{cursor.position}".encode())


def parse_change_cursor(text: str, argument: str) -> Cursor:
    """Raises BadUserInputError. Whether the place exists, only the feed can tell."""
    raw = _from_text(text, argument, "a change cursor").decode("ascii", "replace")
    feed_id, _, position = raw.partition(":")
    if not (position.isascii() and position.isdecimal()) or int(position[:20]) > MAX_ROW_ID:
        raise _foreign("a change cursor", argument)
    return Cursor(feed_id, Position(int(position)))


def _to_text(raw: bytes) -> str:
    text = binascii.b2a_base64(raw, newline=False).decode().rstrip("=")
    # Rarely there is one of these; base64's own function would rewrite every text to look for them.
    return text.replace("+", "-").replace("/", "_") if "+" in text or "/" in text else text


def _from_text(text: str, argument: str, what: str) -> bytes:
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise _foreign(what, argument) from error


def _foreign(what: str, argument: str) -> BadUserInputError:
    return BadUserInputError(
        f"This is not {what} of this API. Send one as an answer gave it.", argument
    )
