"""The directives that say what fields of this schema cost."""

from schema.engine.checks.cost import CostDirective, ListSizeDirective
from schema.types.connections import DEFAULT_PAGE

COUNTING = 10
"""The cost of reading every row that matches."""
WRITING = 50
"""The cost of a transaction."""


def cost(weight: int) -> CostDirective:
    """States the cost of one field."""
    return CostDirective(weight=str(weight))


def list_size(size: int) -> ListSizeDirective:
    """States the approximate length of a list that has no pages."""
    return ListSizeDirective(assumed_size=size)


def sized_by(argument: str) -> ListSizeDirective:
    """States that a list is as long as the list in an argument."""
    return ListSizeDirective(
        assumed_size=1, slicing_arguments=[argument], require_one_slicing_argument=False
    )


def usual_edges(size: int) -> ListSizeDirective:
    """States the usual number of edges of a connection whose pages are hardly ever full."""
    return ListSizeDirective(assumed_size=size, sized_fields=["edges"])


def paged_by(*slicing_arguments: str) -> ListSizeDirective:
    """States that a connection has as many edges as one of the arguments says."""
    return listed_by("edges", *slicing_arguments)


def listed_by(field: str, *slicing_arguments: str) -> ListSizeDirective:
    """States that the list in a field of an object is as long as one of the arguments says."""
    return ListSizeDirective(
        assumed_size=DEFAULT_PAGE,
        slicing_arguments=list(slicing_arguments),
        sized_fields=[field],
        require_one_slicing_argument=False,
    )
