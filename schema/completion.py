"""Answers built by functions that are made once for each operation.

graphql-core decides for every field of every object anew what is to be done with it. For the usual
query, that costs many times what the database does. When nothing below the root fields has a
resolver of its own, all of that is known beforehand: which attribute it is, how its type is
written, what it is called. So it is decided once, and an answer is one pass over the objects.

It is an optimisation and nothing else: an operation it cannot express is left to graphql-core, and
so is an object that does not look as its type says.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import isclass
from operator import attrgetter
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLField,
    GraphQLFieldResolver,
    GraphQLInt,
    GraphQLLeafType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    is_abstract_type,
    is_leaf_type,
)
from strawberry.types.field import StrawberryField

Complete = Callable[[Any], Any]
MIN_INT, MAX_INT = -(2**31), 2**31 - 1


class UnexpectedValueError(Exception):
    """An object that is not what its type says. graphql-core shall say what is wrong with it."""


@dataclass(frozen=True, slots=True)
class RootField:
    key: str
    nodes: list[FieldNode]
    parent: GraphQLObjectType
    definition: GraphQLField
    resolve: GraphQLFieldResolver
    complete: Complete

    @property
    def nullable(self) -> bool:
        return not isinstance(self.definition.type, GraphQLNonNull)


class _NotPlain(Exception):  # noqa: N818  (the way out of the compiler, not an error)
    """Something that only graphql-core can execute."""


def root_fields(
    schema: GraphQLSchema,
    fragments: Mapping[str, FragmentDefinitionNode],
    operation: OperationDefinitionNode,
) -> Sequence[RootField] | None:
    """Of a valid query, or of what a subscription does with each event; None when it is to be left
    to graphql-core."""
    if operation.operation is OperationType.MUTATION or operation.directives:
        return None
    root = schema.get_root_type(operation.operation)
    if root is None:
        return None
    compiler = _Compiler(schema, fragments)
    try:
        return [
            compiler.root_field(root, key, nodes)
            for key, nodes in compiler.fields(root, [operation.selection_set]).items()
        ]
    except _NotPlain:
        return None


class _Compiler:
    def __init__(
        self, schema: GraphQLSchema, fragments: Mapping[str, FragmentDefinitionNode]
    ) -> None:
        self._schema = schema
        self._fragments = fragments

    def root_field(self, root: GraphQLObjectType, key: str, nodes: list[FieldNode]) -> RootField:
        name = nodes[0].name.value
        definition = root.fields.get(name)
        if definition is None or definition.resolve is None:
            raise _NotPlain  # Introspection.
        complete = self._value(definition.type, nodes)
        return RootField(key, nodes, root, definition, definition.resolve, complete)

    def fields(
        self, type: GraphQLObjectType, sets: Sequence[SelectionSetNode]
    ) -> dict[str, list[FieldNode]]:
        """What is asked of an object of this type, by response name, in the order of the answer."""
        found: dict[str, list[FieldNode]] = {}
        entered: set[str] = set()
        for node in self._nodes(type, sets, entered):
            found.setdefault((node.alias or node.name).value, []).append(node)
        return found

    def _nodes(
        self, type: GraphQLObjectType, sets: Sequence[SelectionSetNode], entered: set[str]
    ) -> Iterator[FieldNode]:
        for selection_set in sets:
            for selection in selection_set.selections:
                if selection.directives:
                    raise _NotPlain
                if isinstance(selection, FieldNode):
                    yield selection
                elif isinstance(selection, InlineFragmentNode):
                    condition = selection.type_condition
                    if condition is None or self._applies(type, condition.name.value):
                        yield from self._nodes(type, [selection.selection_set], entered)
                elif isinstance(selection, FragmentSpreadNode):
                    name = selection.name.value
                    fragment = self._fragments[name]
                    if name not in entered:
                        entered.add(name)
                        if self._applies(type, fragment.type_condition.name.value):
                            yield from self._nodes(type, [fragment.selection_set], entered)

    def _applies(self, type: GraphQLObjectType, condition: str) -> bool:
        if type.name == condition:
            return True
        wider = self._schema.get_type(condition)
        return is_abstract_type(wider) and self._schema.is_sub_type(wider, type)

    def _value(self, type: GraphQLOutputType, nodes: list[FieldNode]) -> Complete:
        if isinstance(type, GraphQLNonNull):
            return _required(self._nullable(type.of_type, nodes))
        return self._nullable(type, nodes)

    def _nullable(self, type: GraphQLOutputType, nodes: list[FieldNode]) -> Complete:
        if isinstance(type, GraphQLList):
            return _list_of(self._value(type.of_type, nodes))
        if is_leaf_type(type):
            return _leaf(type)
        sets = [node.selection_set for node in nodes if node.selection_set is not None]
        if isinstance(type, GraphQLObjectType):
            return _one_of({_python_class(type): self._object(type, sets)})
        if is_abstract_type(type):
            members = self._schema.get_possible_types(type)
            return _one_of(
                {_python_class(member): self._object(member, sets) for member in members}
            )
        raise _NotPlain

    def _object(self, type: GraphQLObjectType, sets: Sequence[SelectionSetNode]) -> Complete:
        parts = [(key, self._part(type, nodes)) for key, nodes in self.fields(type, sets).items()]

        def complete(value: Any) -> dict[str, Any]:
            return {key: part(value) for key, part in parts}

        return complete

    def _part(self, type: GraphQLObjectType, nodes: list[FieldNode]) -> Complete:
        """From the object to the value of one field."""
        name = nodes[0].name.value
        if name == "__typename":
            type_name = type.name
            return lambda _: type_name
        definition = type.fields[name]
        attribute = attrgetter(_attribute(definition))
        complete = self._value(definition.type, nodes)
        return lambda value: complete(attribute(value))


def _attribute(definition: GraphQLField) -> str:
    field = (definition.extensions or {}).get("strawberry-definition")
    if not isinstance(field, StrawberryField) or not field.is_basic_field or definition.args:
        raise _NotPlain
    return field.python_name


def _python_class(type: GraphQLObjectType) -> type:
    definition = (type.extensions or {}).get("strawberry-definition")
    origin = getattr(definition, "origin", None)
    if not isclass(origin):
        raise _NotPlain
    return origin


def _required(complete: Complete) -> Complete:
    def required(value: Any) -> Any:
        completed = complete(value)
        if completed is None:
            raise UnexpectedValueError
        return completed

    return required


def _list_of(complete: Complete) -> Complete:
    def items(value: Any) -> Any:
        return None if value is None else [complete(item) for item in value]

    return items


def _one_of(by_class: Mapping[type, Complete]) -> Complete:
    def object_of_a_class(value: Any) -> Any:
        if value is None:
            return None
        complete = by_class.get(value.__class__)
        if complete is None:
            raise UnexpectedValueError
        return complete(value)

    return object_of_a_class


def _leaf(type: GraphQLLeafType) -> Complete:
    coerce: Complete = type.coerce_output_value
    if isinstance(type, GraphQLEnumType):
        names: dict[Any, Any] = {None: None}

        def enum(value: Any) -> Any:
            name = names.get(value)
            if name is None and value is not None:
                name = names[value] = coerce(value)
            return name

        return enum
    if type.name in ("String", "ID", "ChangeCursor"):
        return _as_it_is(str, coerce)
    if type.name == "Boolean":
        return _as_it_is(bool, coerce)
    if type is GraphQLInt or type.name == "Int":

        def integer(value: Any) -> Any:
            plain = value.__class__ is int and MIN_INT <= value <= MAX_INT
            return value if plain or value is None else coerce(value)

        return integer

    def scalar(value: Any) -> Any:
        return None if value is None else coerce(value)

    return scalar


def _as_it_is(plain: type, coerce: Complete) -> Complete:
    def value_of_class(value: Any) -> Any:
        return value if value.__class__ is plain or value is None else coerce(value)

    return value_of_class
