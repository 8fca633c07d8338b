"""The validation rule "field selections can be merged", in time linear in the fields it compares.

The specification words it as a comparison of all pairs, and so does graphql-core: a document of a
few thousand bytes takes it most of a second. Here all fields of one response name are compared
with the first of them, and their sub-selections are merged and looked at once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import (
    ArgumentNode,
    FieldNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLWrappingType,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValidationContext,
    ValidationRule,
    get_named_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    print_ast,
)

Scope = tuple[GraphQLNamedType | None, SelectionSetNode]


@dataclass(frozen=True, slots=True)
class _Entry:
    parent: GraphQLNamedType | None
    node: FieldNode
    definition: GraphQLField | None


class MergeableFieldsRule(ValidationRule):
    """In the place of OverlappingFieldsCanBeMergedRule."""

    def enter_operation_definition(self, node: OperationDefinitionNode, *_: Any) -> None:
        root = self.context.schema.get_root_type(node.operation)
        _Merging(self.context).check([(root, node.selection_set)], shape_only=False)


class _Merging:
    def __init__(self, context: ValidationContext) -> None:
        self._context = context
        self._schema = context.schema

    def check(self, scopes: Sequence[Scope], *, shape_only: bool) -> None:
        for name, entries in self._entries(scopes).items():
            if len(entries) == 1:
                self._descend(entries, shape_only=shape_only)
                continue
            if not self._same_shape(name, entries):
                continue
            groups = [entries] if shape_only else _by_parent(entries)
            if not shape_only and not all(self._same_call(name, group) for group in groups):
                continue
            for group in groups:
                self._descend(group, shape_only=shape_only)
            if len(groups) > 1:
                # What can never be in one object must still have one shape.
                self._descend(entries, shape_only=True)

    def _descend(self, entries: Sequence[_Entry], *, shape_only: bool) -> None:
        below = [
            (get_named_type(e.definition.type) if e.definition else None, e.node.selection_set)
            for e in entries
            if e.node.selection_set is not None
        ]
        if below:
            self.check(below, shape_only=shape_only)

    def _entries(self, scopes: Sequence[Scope]) -> dict[str, list[_Entry]]:
        """By response name, in the order of the document; each fragment is entered once."""
        found: dict[str, list[_Entry]] = {}
        entered: set[str] = set()
        todo = list(reversed(scopes))
        while todo:
            parent, selection_set = todo.pop()
            inside: list[Scope] = []
            for selection in selection_set.selections:
                if isinstance(selection, FieldNode):
                    key = (selection.alias or selection.name).value
                    definition = self._definition(parent, selection)
                    found.setdefault(key, []).append(_Entry(parent, selection, definition))
                elif isinstance(selection, InlineFragmentNode):
                    condition = selection.type_condition
                    type = self._schema.get_type(condition.name.value) if condition else parent
                    inside.append((type, selection.selection_set))
                elif isinstance(selection, FragmentSpreadNode):
                    fragment = self._context.get_fragment(selection.name.value)
                    if fragment is not None and selection.name.value not in entered:
                        entered.add(selection.name.value)
                        type = self._schema.get_type(fragment.type_condition.name.value)
                        inside.append((type, fragment.selection_set))
            todo += reversed(inside)
        return found

    def _definition(self, parent: GraphQLNamedType | None, node: FieldNode) -> GraphQLField | None:
        if parent is None or not hasattr(parent, "fields"):
            return None
        return self._schema.get_field(parent, node.name.value)  # type: ignore[arg-type]  # composite

    def _same_shape(self, name: str, entries: Sequence[_Entry]) -> bool:
        known = [entry for entry in entries if entry.definition is not None]
        for entry in known[1:]:
            first, other = known[0].definition, entry.definition
            if first and other and first is not other and _conflict(first.type, other.type):
                reason = f"they return conflicting types '{first.type}' and '{other.type}'"
                return self._refuse(name, reason, known[0].node, entry.node)
        return True

    def _same_call(self, name: str, group: Sequence[_Entry]) -> bool:
        first = group[0].node
        arguments = _arguments(first.arguments)
        for entry in group[1:]:
            node = entry.node
            if node.name.value != first.name.value:
                names = f"'{first.name.value}' and '{node.name.value}' are different fields"
                return self._refuse(name, names, first, node)
            if (first.arguments or node.arguments) and _arguments(node.arguments) != arguments:
                return self._refuse(name, "they have differing arguments", first, node)
        return True

    def _refuse(self, name: str, reason: str, first: FieldNode, second: FieldNode) -> bool:
        text = (
            f"Fields '{name}' conflict because {reason}. Use different aliases on the fields to "
            "fetch both if this was intentional."
        )
        self._context.report_error(GraphQLError(text, [first, second]))
        return False


def _by_parent(entries: Sequence[_Entry]) -> list[Sequence[_Entry]]:
    """Those that may be asked of one and the same object."""
    objects = {e.parent for e in entries if isinstance(e.parent, GraphQLObjectType)}
    if len(objects) <= 1:
        return [entries]
    return [
        [e for e in entries if e.parent is parent or not isinstance(e.parent, GraphQLObjectType)]
        for parent in sorted(objects, key=lambda type: type.name)
    ]


def _arguments(nodes: Iterable[ArgumentNode] | None) -> dict[str, str]:
    return {node.name.value: print_ast(node.value) for node in nodes or ()}


def _conflict(first: GraphQLOutputType, second: GraphQLOutputType) -> bool:
    while True:
        if is_non_null_type(first) != is_non_null_type(second):
            return True
        if is_list_type(first) != is_list_type(second):
            return True
        if not isinstance(first, GraphQLWrappingType) or not isinstance(
            second, GraphQLWrappingType
        ):
            break
        first, second = first.of_type, second.of_type
    return (is_leaf_type(first) or is_leaf_type(second)) and first is not second
