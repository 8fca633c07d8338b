"""Calls of resolvers of root fields, made ready once for each field.

Strawberry looks at the types of all arguments anew at every call to find out that most of them are
taken as they come.
"""

from collections.abc import Callable, Mapping
from typing import Any

from graphql import GraphQLResolveInfo
from strawberry.schema.config import StrawberryConfig
from strawberry.types.base import (
    StrawberryList,
    StrawberryObjectDefinition,
    StrawberryOptional,
    get_object_definition,
)
from strawberry.types.field import StrawberryField
from strawberry.types.info import Info
from strawberry.types.lazy_type import LazyType

Call = Callable[[GraphQLResolveInfo[Any], Mapping[str, Any]], Any]
Convert = Callable[[Any], Any]


def call_of(field: StrawberryField, config: StrawberryConfig) -> Call | None:
    """None for a resolver that takes or does more than ours do."""
    resolver = field.base_resolver
    if resolver is None or field.extensions or resolver.parent_parameter or resolver.root_parameter:
        return None
    function: Callable[..., Any] = resolver.wrapped_func  # type: ignore[assignment]  # a function
    # A method of a root type; there is no object of that type.
    sources = (None,) if resolver.self_parameter else ()
    info_name = resolver.info_parameter.name if resolver.info_parameter else None
    parameters = [
        (config.name_converter.get_graphql_name(a), a.python_name, _converter(a.type, config))
        for a in field.arguments
    ]

    def call(info: GraphQLResolveInfo[Any], given: Mapping[str, Any]) -> Any:
        arguments = {
            python_name: given[name] if convert is None else convert(given[name])
            for name, python_name, convert in parameters
            if name in given
        }
        if info_name is not None:
            arguments[info_name] = Info(_raw_info=info, _field=field)
        return function(*sources, **arguments)

    return call


def _converter(type: Any, config: StrawberryConfig) -> Convert | None:
    """None for what graphql-core has converted already."""
    if isinstance(type, LazyType):
        return _converter(type.resolve_type(), config)
    if isinstance(type, StrawberryOptional):
        return _converter(type.of_type, config)
    if isinstance(type, StrawberryList):
        item = _converter(type.of_type, config)
        # A copy, since the same default is given to every request.
        return lambda values: values and [v if item is None else item(v) for v in values]
    definition = get_object_definition(type)
    return None if definition is None else _input(definition, config)


def _input(definition: StrawberryObjectDefinition, config: StrawberryConfig) -> Convert:
    fields = [
        (config.name_converter.get_graphql_name(f), f.python_name, _converter(f.type, config))
        for f in definition.fields
    ]

    made: Callable[..., Any] = definition.origin

    def make(given: Mapping[str, Any] | None) -> Any:
        if given is None:
            return None
        return made(
            **{
                python_name: given[name] if convert is None else convert(given[name])
                for name, python_name, convert in fields
                if name in given
            }
        )

    return make
