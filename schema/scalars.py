"""Scalars of our own."""

from typing import NewType

import strawberry
from strawberry.types.scalar import ScalarDefinition

ChangeCursor = NewType("ChangeCursor", str)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("A change cursor is a string.")
    return value


SCALARS: dict[object, ScalarDefinition] = {
    ChangeCursor: strawberry.scalar(
        name="ChangeCursor",
        description="A place in the change feed. Opaque: keep the latest one, and subscribe "
        "after it to go on where you were.",
        serialize=str,
        parse_value=_text,
    )
}
