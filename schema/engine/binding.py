"""Binds resolvers to the schema: graphql-core converts their arguments, and calls them directly.

Strawberry would look at the types of all arguments anew at every call; graphql-core has been told
once what arguments are called in Python, and what input objects are made of.
"""

from collections.abc import Callable
from typing import Any

from graphql import GraphQLField, GraphQLInputObjectType, GraphQLObjectType, GraphQLSchema
from strawberry import Info
from strawberry.types.field import StrawberryField


def declaration_of(part: Any) -> Any:
    """Returns what Strawberry made this part of the schema of; None for introspection."""
    return (part.extensions or {}).get("strawberry-definition") if part else None


def bind_resolvers(schema: GraphQLSchema) -> None:
    for type in schema.type_map.values():
        if isinstance(type, GraphQLInputObjectType):
            _bind_input(type)
        elif isinstance(type, GraphQLObjectType):
            for definition in type.fields.values():
                field = declaration_of(definition)
                if isinstance(field, StrawberryField) and field.base_resolver is not None:
                    _bind_field(definition, field)


def _bind_input(type: GraphQLInputObjectType) -> None:
    for field in type.fields.values():
        field.out_name = declaration_of(field).python_name
    make, check = declaration_of(type).origin, type.out_type
    type.out_type = lambda value: make(**check(value))  # type: ignore[method-assign]  # on purpose


def _bind_field(definition: GraphQLField, field: StrawberryField) -> None:
    for argument in definition.args.values():
        argument.out_name = declaration_of(argument).python_name
    resolve = _direct(field)
    if field.is_subscription:
        definition.subscribe = resolve
    else:
        definition.resolve = resolve


def _direct(field: StrawberryField) -> Callable[..., Any]:
    resolver = field.base_resolver
    if resolver is None or field.extensions or resolver.parent_parameter or resolver.root_parameter:
        raise TypeError(f"The resolver of {field.name} takes or does more than can be bound.")
    function: Callable[..., Any] = resolver.wrapped_func  # type: ignore[assignment]  # a function
    is_method = resolver.self_parameter is not None
    info_name = resolver.info_parameter.name if resolver.info_parameter else None

    def resolve(source: Any, info: Any, /, **arguments: Any) -> Any:
        if info_name is not None:
            arguments[info_name] = Info(_raw_info=info, _field=field)
        return function(source, **arguments) if is_method else function(**arguments)

    return resolve
