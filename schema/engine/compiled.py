"""An optimisation: completes values with a function that is compiled for what one query asks of
them. graphql-core takes over wherever there is none, and gives the same answer.

graphql-core decides for every field of every object anew what to do with it, which costs many times
what the database does. Where no field has a resolver or a directive of its own, all of that follows
from the query: which attribute is read, how its type is written, what it is called. This is such
a function:

    def complete(root, count):
        def object1(view):
            a2 = view.row.event_id
            if a2 is None: raise Unexpected
            return {'id': given3(view), 'eventId': a2, 'status': given4[view.row.status]}
        ...
        try: return object9(root)
        except Limit: raise
        except Exception as error: raise Unexpected from error

`count` is told of the items of each list, and raises a LimitError when they are too many.
"""

from collections.abc import Callable, Sequence, Sized
from inspect import isclass
from typing import Any

from graphql import (
    FieldNode,
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLField,
    GraphQLID,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLString,
    SelectionSetNode,
    get_nullable_type,
    is_abstract_type,
    is_leaf_type,
)
from strawberry.types.field import StrawberryField

from schema.engine.binding import declaration_of
from schema.engine.views import View, source_of
from schema.engine.walk import Walk
from schema.errors import LimitError

Complete = Callable[[Any, Callable[[Sized], Any]], Any]
MIN_INT, MAX_INT = -(2**31), 2**31 - 1


class UnexpectedValueError(Exception):
    """Raised for an object that is not what its type says. graphql-core can say what is wrong."""


class _NotPlainError(Exception):
    """Raised while compiling when a field needs graphql-core."""


class CompiledOperation:
    """The functions of one operation, each compiled when the first value needs it."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self._functions: dict[tuple[object, ...], Complete | None] = {}

    def function(self, type: GraphQLOutputType, nodes: Sequence[FieldNode]) -> Complete | None:
        """Returns what completes values of the type for these fields; None if graphql-core must."""
        key = (type, *map(id, nodes))
        if key not in self._functions:
            try:
                self._functions[key] = _Writer(self._walk).function(type, nodes)
            except _NotPlainError:
                self._functions[key] = None
        return self._functions[key]


# The type checker has seen to it that our texts and truth values are what they are declared to be.
_AS_THEY_ARE = (GraphQLString, GraphQLID, GraphQLBoolean)


class _Writer:
    """Writes one function. Of what clients send, only names of GraphQL get into it."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self._given: dict[str, Any] = {
            "Unexpected": UnexpectedValueError,
            "Limit": LimitError,
            "present": _present,
        }
        self._lines: list[str] = []
        self._names = 0
        self._objects: dict[tuple[object, ...], str] = {}

    def function(self, type: GraphQLOutputType, nodes: Sequence[FieldNode]) -> Complete:
        """Raises _NotPlainError."""
        result = self._value(type, nodes, "root", of_view=False)
        lines = [
            "def complete(root, count):",
            *self._lines,
            f" try: return {result}",
            " except Limit: raise",
            " except Exception as error: raise Unexpected from error",
        ]
        exec("\n".join(lines), self._given)  # noqa: S102  (see above)
        complete: Complete = self._given["complete"]
        return complete

    def _name(self, what: str) -> str:
        self._names += 1
        return f"{what}{self._names}"

    def _give(self, value: Any) -> str:
        """Returns the name by which the function finds the value."""
        name = self._name("given")
        self._given[name] = value
        return name

    def _value(
        self, type: GraphQLOutputType, nodes: Sequence[FieldNode], source: str, *, of_view: bool
    ) -> str:
        """Returns an expression that completes the value of the expression `source`.

        `of_view`: where the type has views, `source` gives a view rather than the object.
        """
        if not isinstance(type, GraphQLNonNull):
            return self._nullable(type, nodes, source, of_view=of_view)
        required = type.of_type
        if isinstance(required, GraphQLEnumType):
            return f"{self._give(_EnumNames(required))}[{source}]"
        return f"present({self._nullable(required, nodes, source, of_view=of_view)})"

    def _nullable(
        self, type: GraphQLOutputType, nodes: Sequence[FieldNode], source: str, *, of_view: bool
    ) -> str:
        if type in _AS_THEY_ARE:
            return source
        name = self._name("a")
        if isinstance(type, GraphQLList):
            item = self._name("item")
            value = self._value(type.of_type, nodes, item, of_view=of_view)
            completed = f"[{value} for {item} in count({name})]"
        elif isinstance(type, GraphQLEnumType):
            completed = f"{self._give(_EnumNames(type))}[{name}]"
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
        """Returns the name of a function that completes objects of the type, or their views."""
        if isinstance(type, GraphQLObjectType):
            members: Sequence[GraphQLObjectType] = [type]
        elif is_abstract_type(type):
            members = self._walk.schema.get_possible_types(type)
        else:
            raise _NotPlainError
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
        """Writes what a fragment asks for once, however often the fragment is spread."""
        key = (type, *map(id, sets))
        if key not in self._objects:
            self._objects[key] = self._written(type, python_class, sets)
        return self._objects[key]

    def _written(
        self, type: GraphQLObjectType, python_class: type, sets: Sequence[SelectionSetNode]
    ) -> str:
        is_view = issubclass(python_class, View)
        assigned: list[str] = []
        required: list[str] = []
        members: list[str] = []
        for key, (definition, nodes) in self._fields(type, sets).items():
            if nodes[0].name.value == "__typename":
                members.append(f"{key!r}: {type.name!r}")
                continue
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
        if issubclass(python_class, View) and python_class.repeated:
            # What was read lives for as long as the answer is being built, so no id comes twice.
            answers = self._name("answers")
            lines = [f" {answers} = {{}}", *lines, f"  answer = {answers}.get(id(view))"]
            lines.append("  if answer is not None: return answer")
            answer = f"{answers}.setdefault(id(view), {answer})"
        lines += assigned
        if required:
            lines.append(f"  if {' or '.join(required)}: raise Unexpected")
        self._lines += [*lines, f"  return {answer}"]
        return name

    def _fields(
        self, type: GraphQLObjectType, sets: Sequence[SelectionSetNode]
    ) -> dict[str, tuple[GraphQLField, list[FieldNode]]]:
        """Returns what is asked of an object of the type, by response name."""
        found: dict[str, tuple[GraphQLField, list[FieldNode]]] = {}
        for field in self._walk.fields([(type, one) for one in sets], of=type):
            if field.conditional or field.definition is None:
                raise _NotPlainError
            found.setdefault(field.key, (field.definition, []))[1].append(field.node)
        return found

    def _source(self, definition: GraphQLField) -> str:
        field = declaration_of(definition)
        if not isinstance(field, StrawberryField) or not field.is_basic_field or definition.args:
            raise _NotPlainError
        source = source_of(field)
        if source is None:
            return f"value.{field.python_name}"
        return f"view.{source}" if isinstance(source, str) else f"{self._give(source)}(view)"


def _is_required(type: GraphQLOutputType) -> bool:
    return isinstance(type, GraphQLNonNull) and get_nullable_type(type) in _AS_THEY_ARE


def _python_class(type: GraphQLObjectType) -> type:
    origin = getattr(declaration_of(type), "origin", None)
    if not isclass(origin):
        raise _NotPlainError
    return origin


class _EnumNames(dict[Any, str]):
    """The names of the values of an enumeration, filled as values are met."""

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
