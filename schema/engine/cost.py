"""What an operation may cost at the most, told from its text and variables before it is executed.

The names are those of IBM's cost directives specification: an object costs 1 unless `@cost` says
otherwise, a scalar nothing, and what is below a list counts as often as the list may have items.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import strawberry
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    is_composite_type,
)
from strawberry.schema_directive import Location

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
class Items:
    """How many items a list may have: the largest slicing argument, else the assumed size."""

    slices: tuple[ValueNode, ...]
    assumed: int

    def count(self, variables: Mapping[str, Any]) -> int:
        given = [n for node in self.slices if (n := _number(node, variables)) is not None]
        # The resolver refuses what is beyond, and says which argument it was.
        return min(max(given), MAX_SLICE) if given else self.assumed


@dataclass(frozen=True, slots=True)
class Cost:
    """A number, and what depends on variables."""

    fixed: int = 0
    lists: tuple[tuple[Items, "Cost"], ...] = ()

    def of(self, variables: Mapping[str, Any]) -> int:
        total = self.fixed
        for items, each in self.lists:
            total += items.count(variables) * each.of(variables)
        return total


def cost_of(
    schema: GraphQLSchema,
    fragments: Mapping[str, FragmentDefinitionNode],
    operation: OperationDefinitionNode,
) -> Cost:
    """Of a valid operation. Takes one look at each fragment for each kind of place it stands in."""
    root = schema.get_root_type(operation.operation)
    return _Estimate(schema, fragments).selection(root, operation.selection_set, {})


Sizes = dict[str, Items]


class _Estimate:
    def __init__(
        self, schema: GraphQLSchema, fragments: Mapping[str, FragmentDefinitionNode]
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._known: dict[tuple[str, tuple[tuple[str, Items], ...]], Cost] = {}

    def selection(
        self, parent: GraphQLNamedType | None, selection_set: SelectionSetNode, sizes: Sizes
    ) -> Cost:
        """`sizes`: how many items fields of this selection have, as the field above has said."""
        fixed = 0
        lists: list[tuple[Items, Cost]] = []
        for selection in selection_set.selections:
            if isinstance(selection, FieldNode):
                items, cost = self._field(parent, selection, sizes)
                if items is not None:
                    lists.append((items, cost))
                    continue
            elif isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                type = self._schema.get_type(condition.name.value) if condition else parent
                cost = self.selection(type, selection.selection_set, sizes)
            elif isinstance(selection, FragmentSpreadNode):
                cost = self._spread(selection.name.value, sizes)
            else:
                continue
            fixed += cost.fixed
            lists += cost.lists
        return Cost(fixed, tuple(lists))

    def _spread(self, name: str, sizes: Sizes) -> Cost:
        key = (name, tuple(sizes.items()))
        if key not in self._known:
            fragment = self._fragments[name]
            type = self._schema.get_type(fragment.type_condition.name.value)
            self._known[key] = self.selection(type, fragment.selection_set, sizes)
        return self._known[key]

    def _field(
        self, parent: GraphQLNamedType | None, node: FieldNode, sizes: Sizes
    ) -> tuple[Items | None, Cost]:
        definition = self._schema.get_field(parent, node.name.value)  # type: ignore[arg-type]  # valid
        if definition is None:
            return None, Cost()
        type = get_named_type(definition.type)
        weight, size = _directives(definition)
        items = sizes.get(node.name.value)
        below: Sizes = {}
        if size is not None:
            told = _items(size, node)
            if size.sized_fields:
                below = dict.fromkeys(size.sized_fields, told)
            else:
                items = told
        own = int(is_composite_type(type)) if weight is None else weight
        if node.selection_set is None:
            return items, Cost(own)
        inner = self.selection(type, node.selection_set, below)
        return items, Cost(own + inner.fixed, inner.lists)


def _directives(definition: GraphQLField) -> tuple[int | None, ListSizeDirective | None]:
    """Those of a field of our schema; the fields of the introspection have none."""
    ours = (definition.extensions or {}).get("strawberry-definition")
    weight = size = None
    for directive in getattr(ours, "directives", ()):
        if isinstance(directive, CostDirective):
            weight = int(directive.weight)
        elif isinstance(directive, ListSizeDirective):
            size = directive
    return weight, size


def _items(size: ListSizeDirective, node: FieldNode) -> Items:
    names = size.slicing_arguments or ()
    values = tuple(a.value for a in node.arguments or () if a.name.value in names)
    return Items(values, size.assumed_size)


def _number(node: ValueNode, variables: Mapping[str, Any]) -> int | None:
    if isinstance(node, VariableNode):
        value = variables.get(node.name.value)
        if isinstance(value, list):
            return len(value)
        return max(value, 0) if isinstance(value, int) else None
    if isinstance(node, ListValueNode):
        return len(node.values)
    return max(int(node.value), 0) if isinstance(node, IntValueNode) else None
