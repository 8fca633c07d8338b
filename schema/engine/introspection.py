"""Questions about the schema itself, which not everybody may ask everywhere."""

from collections.abc import Mapping

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
)

_META = ("__schema", "__type")


def introspects(
    fragments: Mapping[str, FragmentDefinitionNode], operation: OperationDefinitionNode
) -> bool:
    """Whether it asks for more than the names of types. Each fragment is entered once."""
    entered: set[str] = set()
    todo = [operation.selection_set]
    while todo:
        for selection in todo.pop().selections:
            if isinstance(selection, FieldNode):
                if selection.name.value in _META:
                    return True
            elif isinstance(selection, InlineFragmentNode):
                todo.append(selection.selection_set)
            elif isinstance(selection, FragmentSpreadNode):
                name = selection.name.value
                if name not in entered:
                    entered.add(name)
                    todo.append(fragments[name].selection_set)
    return False
