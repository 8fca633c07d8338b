"""Reads the time of an event, in whatever form of ISO 8601 it is written."""

import re
from datetime import UTC, datetime

import msgspec

_LEAP_SECOND = re.compile(r"(:\d\d):60(?:[.,]\d+)?(?=[Zz+-])", re.ASCII)
_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)


def read_time(value: object) -> datetime | None:
    """Returns the time in UTC, or None for what is not a date and time with its zone."""
    if not isinstance(value, str) or not value.isascii():
        return None
    text = value.strip()
    found = _parsed(text)
    if found is None:
        # A leap second is after the second before it and before the next one.
        found = _parsed(_LEAP_SECOND.sub(r"\1:59.999999", text))
    return None if found is None else _in_utc(found)


def _parsed(text: str) -> datetime | None:
    try:
        found = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            return None
    return found if found.tzinfo is not None else None


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:
        # Within a day of the first or the last moment that can be told.
        return _FIRST if time.year == 1 else _LAST
