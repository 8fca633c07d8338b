"""Types whose objects show what was read, and make a field of it only when it is asked for.

A page of a hundred objects with twenty fields, of which a query wants five, costs what five cost.
"""

from collections.abc import Callable, Sequence
from inspect import isclass
from operator import attrgetter
from typing import Any, Generic, TypeVar

import strawberry
from strawberry.types.base import StrawberryList, StrawberryOptional, get_object_definition
from strawberry.types.field import StrawberryField

T = TypeVar("T")
V = TypeVar("V")

Source = str | Callable[[Any], Any]
"""How a field is read from the view: the path of an attribute, or a function of the view. Where
the field's type has views of its own, it gives a view, None, or a list of views."""

_SOURCE = "source"


class View(Generic[V]):
    """The base of the types that `view_type` makes. `view`: what the object shows."""

    repeated = False
    """True if many objects of one answer show the same view, which is then written once."""

    def __init__(self, view: V) -> None:
        self.view = view


def from_view(source: Source, description: str, *, directives: Sequence[object] = ()) -> Any:
    """Declares a field that is read from the view."""
    return strawberry.field(
        description=description, directives=directives, metadata={_SOURCE: source}
    )


def source_of(field: StrawberryField) -> Source | None:
    """Returns None for a field that is not read from a view."""
    return field.metadata.get(_SOURCE)


def view_type(description: str, *, name: str | None = None) -> Callable[[type[T]], type[T]]:
    """Decorates a subclass of `View`, and makes it a GraphQL type, by default of the same name."""

    def decorate(view_class: type[T]) -> type[T]:
        made = strawberry.type(view_class, name=name, description=description)
        # Strawberry's types are dataclasses, whose objects would be given every field.
        made.__init__ = View.__init__  # type: ignore[assignment]  # on purpose
        for field in get_object_definition(made, strict=True).fields:
            source = source_of(field)
            if source is not None:
                setattr(made, field.python_name, _Shown(field, source))
            elif field.is_basic_field:
                place = f"{made.__name__}.{field.python_name}"
                raise TypeError(f"{place} is neither resolved nor read from the view.")
        return made

    return decorate


class _Shown:
    """The field as an attribute, which graphql-core reads one at a time."""

    def __init__(self, field: StrawberryField, source: Source) -> None:
        self._field = field
        self._read = attrgetter(source) if isinstance(source, str) else source

    def __get__(self, shown_object: "View[Any]", owner: object = None) -> Any:
        return _shown_as(self._field.type, self._read(shown_object.view))


def _shown_as(wanted: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(wanted, StrawberryOptional):
        return _shown_as(wanted.of_type, value)
    if isinstance(wanted, StrawberryList):
        return [_shown_as(wanted.of_type, item) for item in value]
    return wanted(value) if isclass(wanted) and issubclass(wanted, View) else value
