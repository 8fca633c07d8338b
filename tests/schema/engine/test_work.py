"""The work of an operation while it is executed: what its lists hold, how long it takes, and that
others go on meanwhile."""

import asyncio
from itertools import count
from typing import Any

import pytest

from schema.engine import work
from schema.engine.executor import Bounds
from tests.schema.engine.library import BookRow, Library, Shelf

# The second is completed by graphql-core.
QUERIES = {"compiled": "{ books { title } }", "conditional": "{ books { title @skip(if: false) } }"}
parametrize_queries = pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time goes on by a second whenever somebody looks at it."""
    seconds = count()
    monkeypatch.setattr(work, "monotonic", lambda: float(next(seconds)))
    monkeypatch.setattr(work, "TURN_SECONDS", 0.5)


@parametrize_queries
async def test_list_with_more_items_than_an_operation_may_cost_is_refused(query: str) -> None:
    library = Library(Bounds(cost=50, seconds=10))
    shelf = Shelf([BookRow()] * 51)

    refused = await library.answer(query, shelf)
    answered = await library.answer(query, Shelf([BookRow()] * 50))

    assert len(answered["data"]["books"]) == 50
    assert refused["data"] is None
    [error] = refused["errors"]
    assert error["message"] == (
        "Operation has more than 50 items. Ask for less, or send several requests."
    )
    assert error["extensions"]["code"] == "COST_LIMIT"
    assert error["extensions"]["limit"] == "operation.items"


async def test_lists_under_several_names_count_together() -> None:
    library = Library(Bounds(cost=50, seconds=10))
    shelf = Shelf([BookRow()] * 20)

    refused = await library.answer(
        "{ a: books { title } b: books { title } c: books { title } }", shelf
    )

    assert refused["data"] is None
    assert [error["extensions"]["limit"] for error in refused["errors"]] == ["operation.items"]


@parametrize_queries
async def test_deadline_holds_for_what_is_computed(query: str, clock: None) -> None:
    library = Library(Bounds(cost=1_000, seconds=3))
    names = " ".join(f"n{number}: {query[2:-2]}" for number in range(10))

    late = await library.answer(f"{{ {names} }}", Shelf())

    assert late["data"] is None
    [error] = late["errors"]
    assert error["extensions"]["limit"] == "operation.seconds"


@parametrize_queries
async def test_others_go_on_between_the_parts_of_an_operation(query: str, clock: None) -> None:
    library = Library(Bounds(cost=1_000, seconds=10_000))
    parts = 20
    names = " ".join(f"n{number}: {query[2:-2]}" for number in range(parts))
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(other())
    answer: dict[str, Any] = await library.answer(f"{{ {names} }}", Shelf())
    others.cancel()

    assert len(answer["data"]) == parts
    assert turns >= parts


async def test_every_event_of_a_subscription_is_work_of_its_own() -> None:
    library = Library(Bounds(cost=1, seconds=10))
    shelf = Shelf([BookRow()] * 5)

    answers = await library.answers("subscription { newBooks(atMost: 5) { title } }", shelf)

    assert [len(answer.errors) for answer in answers] == [0] * 5
