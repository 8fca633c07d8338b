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
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLField,
    GraphQLID,
    GraphQLInt,
    GraphQLLeafType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    GraphQLString,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    get_nullable_type,
    is_abstract_type,
    is_leaf_type,
)
from strawberry.schema.config import StrawberryConfig
from strawberry.types.field import StrawberryField

from schema.calls import Call, call_of

Complete = Callable[[Any], Any]
# How names of ours become names of the schema: `display_name` is `displayName`.
PLAIN_NAMES = StrawberryConfig()
MIN_INT, MAX_INT = -(2**31), 2**31 - 1


class UnexpectedValueError(Exception):
    """An object that is not what its type says. graphql-core shall say what is wrong with it."""


@dataclass(frozen=True, slots=True)
class RootField:
    key: str
    nodes: list[FieldNode]
    parent: GraphQLObjectType
    definition: GraphQLField
    call: Call
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
        field = (definition.extensions or {}).get("strawberry-definition") if definition else None
        call = call_of(field, PLAIN_NAMES) if isinstance(field, StrawberryField) else None
        if definition is None or call is None:
            raise _NotPlain  # Introspection, for one.
        complete = self._value(definition.type, nodes)
        return RootField(key, nodes, root, definition, call, complete)

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
        if not isinstance(type, GraphQLNonNull):
            return self._nullable(type, nodes)
        if isinstance(type.of_type, GraphQLObjectType):
            sets = [node.selection_set for node in nodes if node.selection_set is not None]
            return _exactly(_python_class(type.of_type), self._object(type.of_type, sets))
        if isinstance(type.of_type, GraphQLEnumType):
            return _name_in(type.of_type)
        return _required(self._nullable(type.of_type, nodes))

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
        """All attributes are read by one getter, and put into a dict at once; then those are
        converted that are not written as they are."""
        keys: list[str] = []
        attributes: list[str] = []
        required: list[str] = []
        conversions: list[tuple[str, Complete]] = []
        for key, nodes in self.fields(type, sets).items():
            name = nodes[0].name.value
            keys.append(key)
            if name == "__typename":
                attributes.append("__class__")
                conversions.append((key, _constant(type.name)))
                continue
            definition = type.fields[name]
            attribute = _attribute(definition)
            attributes.append(attribute)
            if get_nullable_type(definition.type) not in _AS_THEY_ARE:
                conversions.append((key, self._value(definition.type, nodes)))
            elif isinstance(definition.type, GraphQLNonNull):
                required.append(attribute)
        return _object_of(keys, _getter(attributes), _getter(required), conversions)


# Texts and truth values of ours are what they are declared to be: the type checker sees to it.
_AS_THEY_ARE = (GraphQLString, GraphQLID, GraphQLBoolean)


def _constant(value: str) -> Complete:
    return lambda _: value


def _getter(attributes: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    if len(attributes) > 1:
        return attrgetter(*attributes)
    if not attributes:
        return lambda _: ()
    single = attrgetter(attributes[0])
    return lambda value: (single(value),)


def _object_of(
    keys: Sequence[str],
    values: Callable[[Any], tuple[Any, ...]],
    required: Callable[[Any], tuple[Any, ...]],
    conversions: Sequence[tuple[str, Complete]],
) -> Complete:
    def complete(value: Any) -> dict[str, Any]:
        if None in required(value):
            raise UnexpectedValueError
        made = dict(zip(keys, values(value), strict=True))
        for key, convert in conversions:
            made[key] = convert(made[key])
        return made

    return complete


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


def _exactly(python_class: type, complete: Complete) -> Complete:
    """What is said of an object in a list that is long is worth a function of its own."""

    def one(value: Any) -> Any:
        if value.__class__ is not python_class:
            raise UnexpectedValueError
        return complete(value)

    return one


def _name_in(type: GraphQLEnumType) -> Complete:
    coerce: Complete = type.coerce_output_value
    names: dict[Any, str] = {}

    def name_of(value: Any) -> str:
        name = names.get(value)
        if name is None:
            if value is None:
                raise UnexpectedValueError
            name = names[value] = coerce(value)
        return name

    return name_of


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
        name_of = _name_in(type)
        return lambda value: None if value is None else name_of(value)
    if type is GraphQLInt:

        def integer(value: Any) -> Any:
            plain = value.__class__ is int and MIN_INT <= value <= MAX_INT
            return value if plain or value is None else coerce(value)

        return integer

    def scalar(value: Any) -> Any:
        return None if value is None else coerce(value)

    return scalar
