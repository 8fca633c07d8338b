"""Filters as tables of conditions. Each condition says in one place how it is asked of facts and of
rows, so that a subscription and a query with one filter agree."""

from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, and_, true

Facts = TypeVar("Facts")

_CONDITION = "condition"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a filter; each function is given the value of the filter's field.

    Two values of one `shape` make the same `sql`, but for the `parameters`.
    """

    matches: Callable[[Any, Any], bool]
    sql: Callable[[Any], ColumnElement[bool]]
    shape: Callable[[Any], Hashable]
    parameters: Callable[[Any], Mapping[str, Any]]


def condition(
    *,
    matches: Callable[[Any, Any], bool],
    sql: Callable[[Any], ColumnElement[bool]],
    shape: Callable[[Any], Hashable],
    parameters: Callable[[Any], Mapping[str, Any]],
) -> Any:
    """Declares a field of a filter, by default without a value: the condition is not asked."""
    declared = Condition(matches, sql, shape, parameters)
    return field(default=None, metadata={_CONDITION: declared})


def literal_condition(
    *, matches: Callable[[Any, Any], bool], sql: Callable[[Any], ColumnElement[bool]]
) -> Any:
    """Declares a field whose values are few and part of the statement."""
    return condition(matches=matches, sql=sql, shape=lambda value: value, parameters=lambda _: {})


def parameter_condition(
    name: str, sql: ColumnElement[bool], *, matches: Callable[[Any, Any], bool]
) -> Any:
    """Declares a field whose value is the parameter `name` of the statement."""
    return condition(
        matches=matches,
        sql=lambda _: sql,
        shape=lambda _: True,
        parameters=lambda value: {name: _parameter_value(value)},
    )


def _parameter_value(value: Any) -> Any:
    """Returns a set of values as the list that a statement takes."""
    return list(value) if isinstance(value, Collection) and not isinstance(value, str) else value


class Filter(Generic[Facts]):
    """A filter; all conditions whose fields have a value must hold."""

    __slots__ = ()

    def matches(self, facts: Facts) -> bool:
        return all(condition.matches(value, facts) for _, condition, value in self._given())

    def condition(self) -> ColumnElement[bool]:
        return and_(true(), *(condition.sql(value) for _, condition, value in self._given()))

    def shape(self) -> Hashable:
        """Filters of one shape make the same condition, but for the values of its parameters."""
        return tuple((name, condition.shape(value)) for name, condition, value in self._given())

    def parameters(self) -> dict[str, Any]:
        """Returns the values of the condition's parameters."""
        parameters: dict[str, Any] = {}
        for _, condition, value in self._given():
            parameters.update(condition.parameters(value))
        return parameters

    def _given(self) -> list[tuple[str, Condition, Any]]:
        kind: Any = type(self)
        return [
            (name, condition, value)
            for name, condition in _conditions(kind)
            if (value := getattr(self, name)) is not None
        ]


@cache
def _conditions(filter: type[Any]) -> list[tuple[str, Condition]]:
    return [(field.name, field.metadata[_CONDITION]) for field in fields(filter)]
