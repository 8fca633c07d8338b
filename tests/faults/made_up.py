"""Acts on made-up inputs, as many as one asks for."""

from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")

ROUND = 500
"""Examples of one run of Hypothesis, which remembers all that it has made."""


def act_on(inputs: SearchStrategy[T], act: Callable[[T], None], count: int, *, anew: bool) -> None:
    """Calls `act` with so many inputs, one after the other. `anew`: other ones each time."""
    for start in range(0, count, ROUND):

        @settings(
            max_examples=min(ROUND, count - start),
            deadline=None,
            derandomize=not anew,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(inputs)
        def once(made: T) -> None:
            act(made)

        once()
