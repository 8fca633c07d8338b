"""What the fields of this schema cost, said with the directives of `schema.engine.cost`."""

from schema.engine.cost import CostDirective, ListSizeDirective
from schema.types.connections import DEFAULT_PAGE

# A look at every row that matches, and a transaction.
COUNTING = 10
WRITING = 50


def weighs(weight: int) -> CostDirective:
    return CostDirective(weight=str(weight))


def about(size: int) -> ListSizeDirective:
    """Of a list that cannot be sliced."""
    return ListSizeDirective(assumed_size=size)


def as_many_as(argument: str) -> ListSizeDirective:
    """Of a list with an item for each of the argument's."""
    return ListSizeDirective(
        assumed_size=1, slicing_arguments=[argument], require_one_slicing_argument=False
    )


def page_of(*slicing_arguments: str) -> ListSizeDirective:
    """Of a connection."""
    return ListSizeDirective(
        assumed_size=DEFAULT_PAGE,
        slicing_arguments=list(slicing_arguments),
        sized_fields=["edges"],
        require_one_slicing_argument=False,
    )
