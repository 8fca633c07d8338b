"""What a query asks for below a field, so that it can be loaded at once."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import strawberry
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    SelectionSetNode,
)


def selected(info: strawberry.Info[Any, Any], *path: str) -> frozenset[str]:
    """The names of the fields asked for at the path below the field that is being resolved.

    Fields of every possible type count, so too much may be loaded, never too little.
    """
    raw = info._raw_info  # noqa: SLF001  (selected_fields builds a tree of objects for every call)
    sets = [node.selection_set for node in raw.field_nodes]
    for name in path:
        sets = [
            field.selection_set
            for field in _fields(sets, raw.fragments)
            if field.name.value == name
        ]
    return frozenset(field.name.value for field in _fields(sets, raw.fragments))


def _fields(
    sets: Iterable[SelectionSetNode | None], fragments: Mapping[str, FragmentDefinitionNode]
) -> Iterator[FieldNode]:
    """Each fragment is entered once, so this is linear in the size of the document."""
    entered: set[str] = set()
    todo = [selection_set for selection_set in sets if selection_set is not None]
    while todo:
        for selection in todo.pop().selections:
            if isinstance(selection, FieldNode):
                yield selection
            elif isinstance(selection, InlineFragmentNode):
                todo.append(selection.selection_set)
            elif isinstance(selection, FragmentSpreadNode):
                name = selection.name.value
                if name not in entered:
                    entered.add(name)
                    todo.append(fragments[name].selection_set)
