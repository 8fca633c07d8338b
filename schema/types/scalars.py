"""Scalars of our own."""

from dataclasses import replace
from datetime import datetime
from typing import Any, NewType

import msgspec
import strawberry
from graphql import GraphQLError
from strawberry.schema.types.base_scalars import DateTimeDefinition
from strawberry.types.scalar import ScalarDefinition

ChangeCursor = NewType("ChangeCursor", str)

_read_iso: Any = DateTimeDefinition.parse_value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("A change cursor is a string.")
    return value


def _moment(value: datetime) -> str:
    """As `isoformat` writes it, which takes several times as long; a page has a hundred of them."""
    text: str = msgspec.to_builtins(value)
    return f"{text[:-1]}+00:00" if text[-1] == "Z" else text


def _read_moment(value: object) -> datetime:
    """Strawberry's own error says neither where the value stands nor what to write instead."""
    try:
        moment: datetime = _read_iso(value)
    except GraphQLError as error:
        raise ValueError("Write a time as `2026-11-23T09:30:00Z`.") from error
    return moment


SCALARS: dict[object, ScalarDefinition] = {
    ChangeCursor: strawberry.scalar(
        name="ChangeCursor",
        description="A place in the change feed. Opaque: keep the latest one, and subscribe "
        "after it to go on where you were.",
        serialize=str,
        parse_value=_text,
    ),
    datetime: replace(DateTimeDefinition, serialize=_moment, parse_value=_read_moment),
}
