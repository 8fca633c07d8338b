"""The scalars `ChangeCursor` and `DateTime`."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NewType

import msgspec
import strawberry
from graphql import GraphQLError
from strawberry.schema.types.base_scalars import DateTimeDefinition
from strawberry.types.scalar import ScalarDefinition

ChangeCursor = NewType("ChangeCursor", str)

_WIDTH = len("2026-11-23T09:30:00.000000Z")
_read_iso: Any = DateTimeDefinition.parse_value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("A change cursor must be a string.")
    return value


def moment_text(value: datetime) -> str:
    """Writes a time in UTC, in one width."""
    text: str = msgspec.to_builtins(value)
    if len(text) == _WIDTH and text[-1] == "Z":
        return text
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _read_moment(value: object) -> datetime:
    """Reads a time. Unlike Strawberry's own error, ours says how to write it."""
    try:
        moment: datetime = _read_iso(value)
    except GraphQLError as error:
        raise ValueError("Write the time like `2026-11-23T09:30:00Z`.") from error
    return moment


SCALARS: dict[object, ScalarDefinition] = {
    ChangeCursor: strawberry.scalar(
        name="ChangeCursor",
        description="A position in the change feed. Opaque: keep the latest one, and subscribe "
        "after it to continue.",
        serialize=str,
        parse_value=_text,
    ),
    datetime: replace(
        DateTimeDefinition,
        description="A time as RFC 3339 writes it, in UTC with six decimals: "
        "`2026-11-23T09:30:00.000000Z`. Arguments may have any offset, and fewer decimals.",
        specified_by_url="https://scalars.graphql.org/andimarek/date-time",
        serialize=moment_text,
        parse_value=_read_moment,
    ),
}
