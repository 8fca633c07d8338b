"""How the engine executes, on a schema that has nothing to do with members."""

import gc
from typing import Any

import pytest
import strawberry

from schema.engine.binding import bind_resolvers
from schema.engine.masking import UNEXPECTED
from tests.schema.engine.library import BookFilter, BookRow, Kind, Library, Shelf

NOTHING: Any = None
SULT, PAN = BookRow("Sult", chapters=("I", "II")), BookRow("Pan")


@pytest.fixture
def library() -> Library:
    return Library()


def compiled(library: Library, text: str) -> list[tuple[str, bool]]:
    """The types of the values that this document was answered with, in the order they came, and
    whether there is a compiled function for them."""
    (operation,) = library.documents.read(text).operations
    functions = operation.compiled._functions.items()
    return [(str(type), function is not None) for (type, *_), function in functions]


async def test_value_without_resolvers_below_is_completed_by_a_compiled_function(
    library: Library,
) -> None:
    text = "{ books { title kind pages chapters { name } } }"

    answer = await library.answer(text, Shelf([SULT, None]))

    assert compiled(library, text) == [("[Book]", True)]
    chapters = [{"name": "I"}, {"name": "II"}]
    sult = {"title": "Sult", "kind": "NOVEL", "pages": 200, "chapters": chapters}
    assert answer == {"data": {"books": [sult, None]}}


async def test_value_below_one_with_a_resolver_is_compiled_all_the_same(library: Library) -> None:
    text = "{ books { copies chapters { name } } best { title } }"

    answer = await library.answer(text, Shelf([SULT]))

    assert compiled(library, text) == [
        ("Book", True),
        ("[Book]", False),
        ("Book", False),
        ("[Chapter!]", True),
    ]
    book = {"copies": 1, "chapters": [{"name": "I"}, {"name": "II"}]}
    assert answer == {"data": {"books": [book], "best": {"title": "Sult"}}}


async def test_one_fragment_in_two_places_is_compiled_for_each_of_them(library: Library) -> None:
    text = """{ a: books { ...f } b: books { ...f chapters { __typename } } }
        fragment f on Book { copies chapters { name } }"""

    answer = await library.answer(text, Shelf([BookRow(chapters=["I"])]))

    (a,), (b,) = answer["data"]["a"], answer["data"]["b"]
    assert a["chapters"] == [{"name": "I"}]
    assert b["chapters"] == [{"name": "I", "__typename": "Chapter"}]


@pytest.mark.parametrize("directive", ["@include(if: $yes)", "@skip(if: $yes)"])
@pytest.mark.parametrize(
    "selection",
    [
        "title DIRECTIVE kind",
        "... DIRECTIVE { title } kind",
        "...f DIRECTIVE kind } } fragment f on Book { title ... { __typename",
    ],
)
async def test_directive_is_heeded_wherever_it_stands(
    library: Library, selection: str, directive: str
) -> None:
    text = f"query ($yes: Boolean!) {{ books {{ {selection.replace('DIRECTIVE', directive)} }} }}"
    shelf = Shelf([SULT])

    (with_it,) = (await library.answer(text, shelf, yes=True))["data"]["books"]
    (without,) = (await library.answer(text, shelf, yes=False))["data"]["books"]

    if "skip" in directive:
        with_it, without = without, with_it
    assert ("title" in with_it, "title" in without) == (True, False)
    assert with_it["kind"] == without["kind"] == "NOVEL"


@pytest.mark.parametrize(
    ("row", "place", "message"),
    [
        (BookRow(NOTHING), "title", UNEXPECTED),
        (BookRow(kind=NOTHING), "kind", UNEXPECTED),
        (BookRow(kind="a film"), "kind", "Enum 'Kind' cannot represent value: 'a film'"),
        (
            BookRow(pages=2**40),
            "pages",
            f"Int cannot represent non 32-bit signed integer value: {2**40}",
        ),
        (BookRow(chapters=NOTHING), "chapters", UNEXPECTED),
        (BookRow(chapters=7), "chapters", UNEXPECTED),
    ],
)
async def test_object_that_is_not_what_its_type_says_spoils_no_other(
    library: Library, row: BookRow, place: str, message: str
) -> None:
    text = "{ books { title kind pages chapters { name } } }"

    answer = await library.answer(text, Shelf([SULT, row, PAN]))

    # graphql-core completes the list again, and the other books by a compiled function.
    assert compiled(library, text)[:2] == [("[Book]", True), ("Book", True)]
    books = answer["data"]["books"]
    assert [book and book["title"] for book in books] in (
        ["Sult", None, "Pan"],
        ["Sult", "Sult", "Pan"],
    )
    (error,) = answer["errors"]
    assert (error["path"], error["message"]) == (["books", 1, place], message)


async def test_resolvers_get_what_python_calls_it(library: Library) -> None:
    shelf = Shelf()

    await library.answer("{ books { title } }", shelf)
    await library.answer("{ books(atMost: 3, bookFilter: null) { pages } }", shelf)
    await library.answer(
        """query ($filter: BookFilter, $kind: Kind!) { a: books(bookFilter: $filter) { title }
            b: books(bookFilter: {ofKind: [$kind]}) { kind } }""",
        shelf,
        filter={"titleBegins": "S"},
        kind="POEM",
    )

    assert shelf.asked == [
        (None, 10, {"title"}),
        (None, 3, {"pages"}),
        (BookFilter(title_begins="S"), 10, {"title"}),
        (BookFilter(of_kind=[Kind.POEM]), 10, {"kind"}),
    ]


def test_resolver_that_cannot_be_bound_is_refused_at_the_start() -> None:
    @strawberry.type
    class Query:
        @strawberry.field
        def name(self, parent: strawberry.Parent[str]) -> str:
            return parent

    with pytest.raises(TypeError, match="resolver of name"):
        bind_resolvers(strawberry.Schema(Query)._schema)


async def test_subscription_is_executed_like_a_query_for_each_event(library: Library) -> None:
    text = "subscription { newBooks(atMost: 9) { title kind } }"

    answers = await library.answers(text, Shelf([SULT, BookRow(NOTHING), PAN]))

    assert compiled(library, text) == [("Book", True)]
    assert [answer.data for answer in answers] == [
        {"newBooks": {"title": "Sult", "kind": "NOVEL"}},
        None,
        {"newBooks": {"title": "Pan", "kind": "NOVEL"}},
    ]
    assert [error.path for error in answers[1].errors] == [["newBooks", "title"]]


async def test_error_of_a_resolver_is_masked(library: Library) -> None:
    answer = await library.answer("{ best { title } broken }", Shelf())

    (error,) = answer["errors"]
    assert answer["data"] is None
    assert (error["path"], error["message"]) == (["broken"], UNEXPECTED)


async def test_what_a_request_has_read_is_freed_when_it_is_answered(library: Library) -> None:
    """Garbage in circles waits for the collector, which seldom runs: see `app/services.py`."""
    texts = ["{ books { title chapters { name } } }", "{ books { copies } best { title } }"]
    for text in texts:
        await library.answer(text, Shelf([SULT, PAN]))
    gc.collect()
    gc.disable()
    try:
        for text in texts:
            await library.answer(text, Shelf([SULT, PAN]))

        assert gc.collect() == 0
    finally:
        gc.enable()
