"""Rows as classes: which columns a class is read from follows from its fields, in their order."""

from typing import Any

import msgspec
from sqlalchemy.orm import InstrumentedAttribute

from db.tables.models import Base


def columns_of(
    row: type[msgspec.Struct], model: type[Base]
) -> tuple[InstrumentedAttribute[Any], ...]:
    """Returns the columns of a table that have the names of a row's fields, in the fields' order.

    `row(*values)` then reads what a statement selects by them. Raises AttributeError for a field
    without a column.
    """
    return tuple(getattr(model, name) for name in row.__struct_fields__)
