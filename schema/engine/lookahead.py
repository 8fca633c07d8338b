"""Tells a resolver what is asked for below its field, so that it can load it at once."""

from typing import Any

import strawberry
from graphql import get_named_type

from schema.engine.walk import Scope, Walk

Selections = dict[tuple[object, ...], frozenset[str]]
"""What was told of one operation, kept with it: the same is asked at every request."""


def selected(info: strawberry.Info[Any, Any], *path: str) -> frozenset[str]:
    """Returns the names of the fields asked for at the path below the field that is being resolved.

    Fields of every possible type count, so too much may be loaded, never too little.
    """
    raw: Any = info._raw_info  # noqa: SLF001  (`selected_fields` builds a tree at every call)
    # The executor hands it on as what Strawberry calls the extensions of the operation.
    kept: Selections = raw.operation_extensions
    key = (*path, *map(id, raw.field_nodes))
    if key not in kept:
        walk = Walk(raw.schema, raw.fragments)
        type = get_named_type(raw.return_type)
        scopes: list[Scope] = [(type, n.selection_set) for n in raw.field_nodes if n.selection_set]
        for name in path:
            fields = [field for field in walk.fields(scopes) if field.node.name.value == name]
            scopes = [scope for field in fields for scope in field.below]
        kept[key] = frozenset(field.node.name.value for field in walk.fields(scopes))
    return kept[key]
