"""Answers built by a function that is written for each operation.

graphql-core decides for every field of every object anew what is to be done with it. For the usual
query, that costs many times what the database does. When nothing below the root fields has a
resolver of its own, all of that is known beforehand: which attribute it is, how its type is
written, what it is called. So it is decided once, as Python that says just that, and an answer is
one pass over what was read. This is such a function:

    def complete(root):
        def object1(view):
            a2 = view.row.event_id
            if a2 is None: raise Unexpected
            return {'id': given3(view), 'eventId': a2, 'status': given4[view.row.status]}
        ...
        try: return object9(root)
        except Exception as error: raise Unexpected from error

It is an optimisation and nothing else: an operation it cannot express is left to graphql-core, and
so is an object that does not look as its type says.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import isclass
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

from schema.engine.calls import Call, call_of
from schema.engine.views import View, source_of

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
    selections = _Selections(schema, fragments)
    try:
        return [
            _root_field(selections, root, key, nodes)
            for key, nodes in selections.fields(root, [operation.selection_set]).items()
        ]
    except _NotPlain:
        return None


def _root_field(
    selections: "_Selections", root: GraphQLObjectType, key: str, nodes: list[FieldNode]
) -> RootField:
    definition = root.fields.get(nodes[0].name.value)
    field = _strawberry_field(definition) if definition else None
    call = call_of(field, PLAIN_NAMES) if field else None
    if definition is None or call is None:
        raise _NotPlain  # Introspection, for one.
    complete = _Writer(selections).function(definition.type, nodes)
    return RootField(key, nodes, root, definition, call, complete)


class _Selections:
    """What is asked for, whichever fragments it stands in."""

    def __init__(
        self, schema: GraphQLSchema, fragments: Mapping[str, FragmentDefinitionNode]
    ) -> None:
        self.schema = schema
        self._fragments = fragments

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
        wider = self.schema.get_type(condition)
        return is_abstract_type(wider) and self.schema.is_sub_type(wider, type)


# Texts and truth values of ours are what they are declared to be: the type checker sees to it.
_AS_THEY_ARE = (GraphQLString, GraphQLID, GraphQLBoolean)


class _Writer:
    """Writes one function. Of what clients send, only names of GraphQL get into it."""

    def __init__(self, selections: _Selections) -> None:
        self._selections = selections
        self._given: dict[str, Any] = {"Unexpected": UnexpectedValueError, "present": _present}
        self._lines: list[str] = []
        self._names = 0
        self._objects: dict[tuple[object, ...], str] = {}

    def function(self, type: GraphQLOutputType, nodes: list[FieldNode]) -> Complete:
        result = self._value(type, nodes, "root", of_view=False)
        lines = [
            "def complete(root):",
            *self._lines,
            f" try: return {result}",
            " except Exception as error: raise Unexpected from error",
        ]
        exec("\n".join(lines), self._given)  # noqa: S102  (see above)
        complete: Complete = self._given["complete"]
        return complete

    def _name(self, what: str) -> str:
        self._names += 1
        return f"{what}{self._names}"

    def _give(self, value: Any) -> str:
        """The name by which the function finds it."""
        name = self._name("given")
        self._given[name] = value
        return name

    def _value(
        self, type: GraphQLOutputType, nodes: list[FieldNode], source: str, *, of_view: bool
    ) -> str:
        """An expression for what becomes of the expression `source`. `of_view`: what it gives is
        the view of an object, where the type has views, rather than the object."""
        if not isinstance(type, GraphQLNonNull):
            return self._nullable(type, nodes, source, of_view=of_view)
        required = type.of_type
        if isinstance(required, GraphQLEnumType):
            return f"{self._give(_Names(required))}[{source}]"
        return f"present({self._nullable(required, nodes, source, of_view=of_view)})"

    def _nullable(
        self, type: GraphQLOutputType, nodes: list[FieldNode], source: str, *, of_view: bool
    ) -> str:
        if type in _AS_THEY_ARE:
            return source
        name = self._name("a")
        if isinstance(type, GraphQLList):
            item = self._name("item")
            value = self._value(type.of_type, nodes, item, of_view=of_view)
            completed = f"[{value} for {item} in {name}]"
        elif isinstance(type, GraphQLEnumType):
            completed = f"{self._give(_Names(type))}[{name}]"
        elif type is GraphQLInt:
            completed = f"{self._give(_integer)}({name})"
        elif is_leaf_type(type):
            completed = f"{self._give(type.coerce_output_value)}({name})"
        else:
            sets = [node.selection_set for node in nodes if node.selection_set is not None]
            completed = f"{self._composite(type, sets, of_view=of_view)}({name})"
        return f"(None if ({name} := {source}) is None else {completed})"

    def _composite(
        self, type: GraphQLOutputType, sets: Sequence[SelectionSetNode], *, of_view: bool
    ) -> str:
        """The name of a function for objects of the type, or for their views."""
        if isinstance(type, GraphQLObjectType):
            members: Sequence[GraphQLObjectType] = [type]
        elif is_abstract_type(type):
            members = self._selections.schema.get_possible_types(type)
        else:
            raise _NotPlain
        python_class = _python_class(members[0])
        if of_view and len(members) == 1 and issubclass(python_class, View):
            return self._object(members[0], python_class, sets)
        choices = []
        for member in members:
            python_class = _python_class(member)
            made = self._object(member, python_class, sets)
            if issubclass(python_class, View):
                made = f"lambda value: {made}(value.view)"
            choices.append(f"{self._give(python_class)}: {made}")
        by_class, name = self._name("by_class"), self._name("object")
        self._lines += [
            f" {by_class} = {{{', '.join(choices)}}}",
            f" def {name}(value): return {by_class}[value.__class__](value)",
        ]
        return name

    def _object(
        self, type: GraphQLObjectType, python_class: type, sets: Sequence[SelectionSetNode]
    ) -> str:
        """What a fragment asks for is written once, however often the fragment is spread."""
        key = (type, *map(id, sets))
        if key not in self._objects:
            self._objects[key] = self._written(type, python_class, sets)
        return self._objects[key]

    def _written(
        self, type: GraphQLObjectType, python_class: type, sets: Sequence[SelectionSetNode]
    ) -> str:
        view_class = python_class if issubclass(python_class, View) else None
        is_view = view_class is not None
        assigned: list[str] = []
        required: list[str] = []
        members: list[str] = []
        for key, nodes in self._selections.fields(type, sets).items():
            if nodes[0].name.value == "__typename":
                members.append(f"{key!r}: {type.name!r}")
                continue
            definition = type.fields[nodes[0].name.value]
            source = self._source(definition)
            if _is_required(definition.type):
                name = self._name("a")
                assigned.append(f"  {name} = {source}")
                required.append(f"{name} is None")
                members.append(f"{key!r}: {name}")
            else:
                made = self._value(definition.type, nodes, source, of_view=is_view)
                members.append(f"{key!r}: {made}")
        name, answer = self._name("object"), f"{{{', '.join(members)}}}"
        lines = [f" def {name}({'view' if is_view else 'value'}):"]
        if view_class is not None and view_class.repeated:
            # What was read lives for as long as the answer is being built, so no id comes twice.
            known = self._name("known")
            lines = [f" {known} = {{}}", *lines, f"  answer = {known}.get(id(view))"]
            lines.append("  if answer is not None: return answer")
            answer = f"{known}.setdefault(id(view), {answer})"
        lines += assigned
        if required:
            lines.append(f"  if {' or '.join(required)}: raise Unexpected")
        self._lines += [*lines, f"  return {answer}"]
        return name

    def _source(self, definition: GraphQLField) -> str:
        field = _strawberry_field(definition)
        if field is None or not field.is_basic_field or definition.args:
            raise _NotPlain
        source = source_of(field)
        if source is None:
            return f"value.{field.python_name}"
        return f"view.{source}" if isinstance(source, str) else f"{self._give(source)}(view)"


def _is_required(type: GraphQLOutputType) -> bool:
    return isinstance(type, GraphQLNonNull) and get_nullable_type(type) in _AS_THEY_ARE


def _strawberry_field(definition: GraphQLField) -> StrawberryField | None:
    field = (definition.extensions or {}).get("strawberry-definition")
    return field if isinstance(field, StrawberryField) else None


def _python_class(type: GraphQLObjectType) -> type:
    definition = (type.extensions or {}).get("strawberry-definition")
    origin = getattr(definition, "origin", None)
    if not isclass(origin):
        raise _NotPlain
    return origin


class _Names(dict[Any, str]):
    """Of the values of an enumeration, by value, as they are met."""

    def __init__(self, type: GraphQLEnumType) -> None:
        super().__init__()
        self._coerce = type.coerce_output_value

    def __missing__(self, value: Any) -> str:
        if value is None:
            raise UnexpectedValueError
        name: str = self._coerce(value)
        self[value] = name
        return name


def _present(value: Any) -> Any:
    if value is None:
        raise UnexpectedValueError
    return value


def _integer(value: Any) -> Any:
    if value.__class__ is int and MIN_INT <= value <= MAX_INT:
        return value
    return GraphQLInt.coerce_output_value(value)
