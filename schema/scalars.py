"""Scalars of our own."""

from dataclasses import replace
from datetime import datetime
from typing import NewType

import msgspec
import strawberry
from strawberry.schema.types.base_scalars import DateTimeDefinition
from strawberry.types.scalar import ScalarDefinition

ChangeCursor = NewType("ChangeCursor", str)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("A change cursor is a string.")
    return value


def _moment(value: datetime) -> str:
    """As `isoformat` writes it, which takes several times as long; a page has a hundred of them."""
    text: str = msgspec.to_builtins(value)
    return f"{text[:-1]}+00:00" if text[-1] == "Z" else text


SCALARS: dict[object, ScalarDefinition] = {
    ChangeCursor: strawberry.scalar(
        name="ChangeCursor",
        description="A place in the change feed. Opaque: keep the latest one, and subscribe "
        "after it to go on where you were.",
        serialize=str,
        parse_value=_text,
    ),
    datetime: replace(DateTimeDefinition, serialize=_moment),
}
