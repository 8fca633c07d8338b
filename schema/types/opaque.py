"""Opaque texts for clients: global ids, page cursors and change cursors. Texts that were not made
here are refused with the name of their argument."""

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from db.feed.changes import Cursor
from db.queries.keyset import KeyValues
from db.vocabulary import Position
from schema.errors import BadUserInputError

T = TypeVar("T")

MAX_ROW_ID = 2**63 - 1
# No more digits than that: Python takes none of thousands.
_DIGITS = re.compile("0|[1-9][0-9]{0,18}")
NODE_TYPES = (
    "Concern",
    "Member",
    "Organization",
    "Reconciliation",
    "Role",
    "RoleAssignment",
    "SyncLogEntry",
)
"""The types that have global ids."""


def storable(text: str, argument: str) -> str:
    """Returns the text. Raises BadUserInputError if no database can store it."""
    if "\0" in text or (not text.isprintable() and any("\ud800" <= c <= "\udfff" for c in text)):
        raise BadUserInputError("The text holds NUL or half a surrogate pair.", argument)
    return text


def global_id(type_name: str, row_id: int) -> str:
    return _to_text(f"{type_name}:{row_id}".encode())


def parse_global_id(text: str, argument: str) -> tuple[str, int]:
    """Returns the type and the row id. Raises BadUserInputError."""
    type_name, _, number = (
        _from_text(text, argument, "an id").decode("ascii", "replace").partition(":")
    )
    found = _number(number)
    if type_name not in NODE_TYPES or found is None:
        raise _foreign("an id", argument)
    return type_name, found


def row_id(text: str, type_name: str, argument: str) -> int:
    """Returns the row id. Raises BadUserInputError, for an id of another type as well."""
    found, number = parse_global_id(text, argument)
    if found != type_name:
        raise BadUserInputError(f"Expected an id of `{type_name}`; got one of `{found}`.", argument)
    return number


def page_cursor(order: str, key: KeyValues) -> str:
    """Returns the cursor of a key. It holds for lists of the same `order` only."""
    return _to_text(msgspec.json.encode([order, *key]))


def parse_page_cursor(text: str, order: str, types: tuple[type, ...], argument: str) -> KeyValues:
    """Returns the key. Raises BadUserInputError, for a cursor of another order as well."""
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
    """Raises BadUserInputError, ValueError or OverflowError for a value that no row has."""
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
    """Raises BadUserInputError. The feed has to check that the position exists."""
    raw = _from_text(text, argument, "a change cursor").decode("ascii", "replace")
    feed_id, _, position = raw.partition(":")
    found = _number(position)
    if found is None:
        raise _foreign("a change cursor", argument)
    return Cursor(feed_id, Position(found))


def _number(digits: str) -> int | None:
    """Returns the number if it is written as we write it and a row can have it."""
    if not _DIGITS.fullmatch(digits) or (number := int(digits)) > MAX_ROW_ID:
        return None
    return number


def _to_text(raw: bytes) -> str:
    text = binascii.b2a_base64(raw, newline=False).decode().rstrip("=")
    # Most texts have neither character, so this is faster than base64.urlsafe_b64encode.
    return text.replace("+", "-").replace("/", "_") if "+" in text or "/" in text else text


def _from_text(text: str, argument: str, what: str) -> bytes:
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise _foreign(what, argument) from error


def _foreign(what: str, argument: str) -> BadUserInputError:
    return BadUserInputError(
        f"This is not {what} of this API. Send one unchanged, as an answer gave it.", argument
    )
