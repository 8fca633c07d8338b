"""Prices an operation before it is executed: what it may cost at most, by its text and variables.

The names are those of IBM's cost directives specification: an object costs 1 unless `@cost` says
otherwise, a scalar nothing, and what is below a list counts as often as the list may have items.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import strawberry
from graphql import (
    FieldNode,
    GraphQLField,
    IntValueNode,
    ListValueNode,
    ValueNode,
    VariableNode,
)
from strawberry.schema_directive import Location

from schema.engine.binding import declaration_of
from schema.engine.walk import Scope, Walk

# No list has more items than that; its resolver refuses a larger slice.
MAX_SLICE = 100


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="cost",
    description="What the field costs instead of 1 for an object and 0 for a scalar.",
)
class CostDirective:
    weight: str = strawberry.directive_field(name="weight")


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="listSize",
    description="How many items count: the slicing argument if given, else the assumed size. With "
    "sized fields, it is those fields of the answer that have so many.",
)
class ListSizeDirective:
    assumed_size: int = strawberry.directive_field(name="assumedSize")
    slicing_arguments: list[str] | None = strawberry.directive_field(
        name="slicingArguments", default=strawberry.UNSET
    )
    sized_fields: list[str] | None = strawberry.directive_field(
        name="sizedFields", default=strawberry.UNSET
    )
    require_one_slicing_argument: bool | None = strawberry.directive_field(
        name="requireOneSlicingArgument", default=strawberry.UNSET
    )


@dataclass(frozen=True, slots=True)
class ListSize:
    """The most items a list may have: the largest slicing argument, else the assumed size."""

    slices: tuple[ValueNode, ...]
    assumed: int

    def count(self, variables: Mapping[str, Any]) -> int:
        given = [n for node in self.slices if (n := _number(node, variables)) is not None]
        # The resolver refuses what is beyond, and says which argument it was.
        return min(max(given), MAX_SLICE) if given else self.assumed


@dataclass(frozen=True, slots=True)
class Cost:
    """A number, and for each list the cost of one of its items."""

    fixed: int = 0
    lists: tuple[tuple[ListSize, "Cost"], ...] = ()

    def total(self, variables: Mapping[str, Any]) -> int:
        return self.fixed + sum(
            size.count(variables) * each.total(variables) for size, each in self.lists
        )


def cost_of(walk: Walk, scopes: Iterable[Scope], sized_by: Mapping[str, ListSize] = {}) -> Cost:
    """Returns the cost of what a valid operation asks for.

    `sized_by`: the sizes of fields that the field above them states, by field name.
    """
    fixed = 0
    lists: list[tuple[ListSize, Cost]] = []
    for field in walk.fields(scopes):
        weight, directive = _directives(field.definition)
        size = sized_by.get(field.node.name.value)
        below: Mapping[str, ListSize] = {}
        if directive is not None:
            stated = _list_size(directive, field.node)
            if directive.sized_fields:
                below = dict.fromkeys(directive.sized_fields, stated)
            else:
                size = stated
        own = (1 if field.below else 0) if weight is None else weight
        inner = cost_of(walk, field.below, below)
        each = Cost(own + inner.fixed, inner.lists)
        if size is None:
            fixed += each.fixed
            lists += each.lists
        else:
            lists.append((size, each))
    return Cost(fixed, tuple(lists))


def _directives(definition: GraphQLField | None) -> tuple[int | None, ListSizeDirective | None]:
    """Returns what a field of our schema says; the fields of the introspection say nothing."""
    weight = size = None
    for directive in getattr(declaration_of(definition), "directives", ()):
        if isinstance(directive, CostDirective):
            weight = int(directive.weight)
        elif isinstance(directive, ListSizeDirective):
            size = directive
    return weight, size


def _list_size(directive: ListSizeDirective, node: FieldNode) -> ListSize:
    names = directive.slicing_arguments or ()
    values = tuple(a.value for a in node.arguments or () if a.name.value in names)
    return ListSize(values, directive.assumed_size)


def _number(node: ValueNode, variables: Mapping[str, Any]) -> int | None:
    if isinstance(node, VariableNode):
        value = variables.get(node.name.value)
        if isinstance(value, list):
            return len(value)
        return max(value, 0) if isinstance(value, int) else None
    if isinstance(node, ListValueNode):
        return len(node.values)
    return max(int(node.value), 0) if isinstance(node, IntValueNode) else None
