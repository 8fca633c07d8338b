"""Which fields clients use: what may be removed one day, and whom it would hurt."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_named_type,
)

# More than so many kinds of clients are counted together: names come from outside.
MOST_CLIENTS = 20
OTHERS = ("others", "")


@dataclass(frozen=True, slots=True)
class Client:
    """As it calls itself."""

    name: str = ""
    version: str = ""


NOBODY_IN_PARTICULAR = Client()


@dataclass(slots=True)
class FieldUse:
    """Counts operations by the fields they ask for, for each client."""

    counts: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)

    def note(self, client: Client, coordinates: frozenset[str]) -> None:
        label = (client.name, client.version)
        if label not in self.counts and len(self.counts) >= MOST_CLIENTS:
            label = OTHERS
        self.counts.setdefault(label, Counter()).update(coordinates)


def coordinates(
    schema: GraphQLSchema,
    fragments: Mapping[str, FragmentDefinitionNode],
    operation: OperationDefinitionNode,
) -> frozenset[str]:
    """`Type.field` of everything that a valid operation asks for, of the introspection nothing.

    Takes one look at each fragment.
    """
    entered: set[str] = set()

    def inside(parent: GraphQLNamedType | None, selected: SelectionSetNode) -> Iterator[str]:
        for selection in selected.selections:
            if isinstance(selection, FieldNode):
                name = selection.name.value
                if parent is None or name.startswith("__") or parent.name.startswith("__"):
                    continue
                yield f"{parent.name}.{name}"
                definition = schema.get_field(parent, name)  # type: ignore[arg-type]  # valid
                if definition is not None and selection.selection_set is not None:
                    yield from inside(get_named_type(definition.type), selection.selection_set)
            elif isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                type = schema.get_type(condition.name.value) if condition else parent
                yield from inside(type, selection.selection_set)
            elif isinstance(selection, FragmentSpreadNode) and selection.name.value not in entered:
                entered.add(selection.name.value)
                fragment = fragments[selection.name.value]
                type = schema.get_type(fragment.type_condition.name.value)
                yield from inside(type, fragment.selection_set)

    return frozenset(inside(schema.get_root_type(operation.operation), operation.selection_set))
