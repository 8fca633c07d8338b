"""Walks a document: yields the fields that are asked for, whichever fragments they stand in."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    SelectionSetNode,
    get_named_type,
    is_abstract_type,
)

# A type, None if the schema does not have it, and what is asked of its objects.
Scope = tuple[GraphQLNamedType | None, SelectionSetNode]


class Selected(NamedTuple):
    """A field that is asked for. `conditional`: a directive may decide whether it is answered."""

    node: FieldNode
    parent: GraphQLNamedType | None
    definition: GraphQLField | None
    conditional: bool

    @property
    def key(self) -> str:
        return (self.node.alias or self.node.name).value

    @property
    def below(self) -> list[Scope]:
        """The scope of what is asked for below the field; empty for a leaf."""
        type = get_named_type(self.definition.type) if self.definition else None
        return [(type, self.node.selection_set)] if self.node.selection_set else []


def fragments_of(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    return {
        definition.name.value: definition
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }


@dataclass(frozen=True, slots=True)
class Walk:
    schema: GraphQLSchema
    fragments: Mapping[str, FragmentDefinitionNode]

    def fields(
        self, scopes: Iterable[Scope], of: GraphQLObjectType | None = None
    ) -> Iterator[Selected]:
        """Yields the fields of one level in the order of the document. Enters each fragment once.

        `of`: only those that are asked of objects of this type.
        """
        entered: set[str] = set()
        for parent, selection_set in scopes:
            yield from self._fields((of or parent, selection_set), of, entered, conditional=False)

    def _fields(
        self, scope: Scope, of: GraphQLObjectType | None, entered: set[str], *, conditional: bool
    ) -> Iterator[Selected]:
        parent, selection_set = scope
        for selection in selection_set.selections:
            depends = conditional or bool(selection.directives)
            fragment: InlineFragmentNode | FragmentDefinitionNode | None = None
            if isinstance(selection, FieldNode):
                definition = self.schema.get_field(parent, selection.name.value)  # type: ignore[arg-type]  # it answers None for None
                yield Selected(selection, parent, definition, depends)
            elif isinstance(selection, InlineFragmentNode):
                fragment = selection
            elif isinstance(selection, FragmentSpreadNode) and selection.name.value not in entered:
                entered.add(selection.name.value)
                fragment = self.fragments.get(selection.name.value)
            if fragment is not None:
                condition = fragment.type_condition
                type = self.schema.get_type(condition.name.value) if condition else parent
                if of is None or self._is_or_implements(of, type):
                    inside = (of or type, fragment.selection_set)
                    yield from self._fields(inside, of, entered, conditional=depends)

    def _is_or_implements(self, type: GraphQLObjectType, wider: GraphQLNamedType | None) -> bool:
        return type is wider or (is_abstract_type(wider) and self.schema.is_sub_type(wider, type))
