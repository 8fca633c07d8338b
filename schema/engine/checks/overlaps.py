"""The validation rule "field selections can be merged", in time linear in the fields it compares.

The specification words it as a comparison of all pairs, and so does graphql-core: the worst
document within the limits takes it 145 ms, and this rule 31. Here all fields of one response name
are compared with the first of them, and their sub-selections are merged and looked at once.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from graphql import (
    ArgumentNode,
    FieldNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLWrappingType,
    OperationDefinitionNode,
    ValidationContext,
    ValidationRule,
    is_leaf_type,
    print_ast,
)

from schema.engine.walk import Scope, Selected, Walk, fragments_of


class MergeableFieldsRule(ValidationRule):
    """Stands in for graphql-core's OverlappingFieldsCanBeMergedRule."""

    def enter_operation_definition(self, node: OperationDefinitionNode, *_: Any) -> None:
        root = self.context.schema.get_root_type(node.operation)
        _Merging(self.context).check([(root, node.selection_set)], shape_only=False)


class _Merging:
    def __init__(self, context: ValidationContext) -> None:
        self._context = context
        self._walk = Walk(context.schema, fragments_of(context.document))

    def check(self, scopes: Sequence[Scope], *, shape_only: bool) -> None:
        by_name: dict[str, list[Selected]] = {}
        for field in self._walk.fields(scopes):
            by_name.setdefault(field.key, []).append(field)
        for name, fields in by_name.items():
            if len(fields) == 1:
                self._descend(fields, shape_only=shape_only)
                continue
            if not self._same_shape(name, fields):
                continue
            groups = [fields] if shape_only else _by_parent(fields)
            if not shape_only and not all(self._same_call(name, group) for group in groups):
                continue
            for group in groups:
                self._descend(group, shape_only=shape_only)
            if len(groups) > 1:
                # What can never be in one object must still have one shape.
                self._descend(fields, shape_only=True)

    def _descend(self, fields: Sequence[Selected], *, shape_only: bool) -> None:
        below = [scope for field in fields for scope in field.below]
        if below:
            self.check(below, shape_only=shape_only)

    def _same_shape(self, name: str, fields: Sequence[Selected]) -> bool:
        known = [(f.node, f.definition.type) for f in fields if f.definition is not None]
        for node, type in known[1:]:
            first, other = known[0]
            if other is not type and _conflict(other, type):
                reason = f"they return conflicting types '{other}' and '{type}'"
                return self._refuse(name, reason, first, node)
        return True

    def _same_call(self, name: str, group: Sequence[Selected]) -> bool:
        first = group[0].node
        arguments = _arguments(first.arguments)
        for node in (field.node for field in group[1:]):
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


def _by_parent(fields: Sequence[Selected]) -> list[Sequence[Selected]]:
    """Groups the fields that may be asked of one and the same object."""
    objects = {f.parent for f in fields if isinstance(f.parent, GraphQLObjectType)}
    if len(objects) <= 1:
        return [fields]
    return [
        [f for f in fields if f.parent is parent or not isinstance(f.parent, GraphQLObjectType)]
        for parent in sorted(objects, key=lambda type: type.name)
    ]


def _arguments(nodes: Iterable[ArgumentNode] | None) -> dict[str, str]:
    return {node.name.value: print_ast(node.value) for node in nodes or ()}


def _conflict(first: Any, second: Any) -> bool:
    """Returns True if the types differ in lists, in what may be null, or in leaves."""
    while isinstance(first, GraphQLWrappingType) or isinstance(second, GraphQLWrappingType):
        if first.__class__ is not second.__class__:
            return True
        first, second = first.of_type, second.of_type
    return (is_leaf_type(first) or is_leaf_type(second)) and first is not second
