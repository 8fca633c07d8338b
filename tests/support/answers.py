"""Reads GraphQL answers."""

from typing import Any


def codes(answer: dict[str, Any]) -> list[str]:
    """The codes of the errors, in order; an error without one counts as "?"."""
    return [error.get("extensions", {}).get("code", "?") for error in answer.get("errors", ())]


def refused_arguments(answer: dict[str, Any]) -> list[str]:
    """The arguments that BAD_USER_INPUT errors name; any other error fails the test."""
    assert set(codes(answer)) == {"BAD_USER_INPUT"}, answer
    return [error["extensions"]["argument"] for error in answer["errors"]]


def nodes(connection: dict[str, Any], field: str) -> list[Any]:
    """One field of every node of a page."""
    return [edge["node"][field] for edge in connection["edges"]]
