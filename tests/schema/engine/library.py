"""A small schema that has nothing to do with members, to try the engine on."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import strawberry
from graphql import GraphQLError, GraphQLSchema

from schema.engine.binding import bind_resolvers
from schema.engine.documents import Documents
from schema.engine.executor import DEFAULT_BOUNDS, Answer, Bounds, Executor
from schema.engine.field_use import Client
from schema.engine.lookahead import selected
from schema.engine.masking import masked
from schema.engine.requests import GraphQLRequest
from schema.engine.stored.trusted_documents import TrustedDocuments
from schema.engine.views import View, from_view, view_type


@strawberry.enum
class Kind(Enum):
    NOVEL = "novel"
    POEM = "poem"


@dataclass(eq=False)
class BookRow:
    title: Any = "Sult"
    kind: Any = Kind.NOVEL
    pages: Any = 200
    chapters: Any = ()
    copies: int = 1


@view_type("A chapter.", name="Chapter")
class ChapterType(View[str]):
    name: str = from_view(lambda name: name, "Its name.")


@view_type("A book.", name="Book")
class BookType(View[BookRow]):
    title: str = from_view("title", "Its title.")
    kind: Kind = from_view("kind", "Its kind.")
    pages: int | None = from_view("pages", "How many.")
    chapters: list[ChapterType] = from_view("chapters", "In order.")

    @strawberry.field(description="How many there are, which has to be looked up.")
    async def copies(self) -> int:
        return self.view.copies


@strawberry.input
class BookFilter:
    of_kind: list[Kind] | None = None
    title_begins: str = ""


@dataclass
class Shelf:
    """The context of a request: the books, and what resolvers were asked for."""

    books: Sequence[BookRow | None] = (BookRow(),)
    asked: list[Any] = field(default_factory=list)


Info = strawberry.Info[Shelf, None]


@strawberry.type
class Query:
    @strawberry.field
    async def books(
        self, info: Info, book_filter: BookFilter | None = None, at_most: int = 10
    ) -> list[BookType | None]:
        info.context.asked.append((book_filter, at_most, selected(info)))
        return [None if row is None else BookType(row) for row in info.context.books]

    @strawberry.field
    def best(self, info: Info) -> BookType | None:
        (row, *_) = info.context.books
        return None if row is None else BookType(row)

    @strawberry.field
    def broken(self) -> str:
        raise RuntimeError("a secret")


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def new_books(self, info: Info, at_most: int = 1) -> AsyncGenerator[BookType, None]:
        for row in list(info.context.books)[:at_most]:
            if row is not None:
                yield BookType(row)


class OpenPolicy:
    """Lets everybody ask for everything."""

    def client(self, context: Shelf) -> Client:
        return Client()

    def requires_trusted_document(self, context: Shelf) -> bool:
        return False

    async def check_introspection(self, context: Shelf) -> None:
        pass

    def masked(self, errors: Iterable[GraphQLError], context: Shelf) -> list[GraphQLError]:
        return masked(errors, "request")


class Library:
    def __init__(self, bounds: Bounds = DEFAULT_BOUNDS) -> None:
        self.schema: GraphQLSchema = strawberry.Schema(Query, subscription=Subscription)._schema
        bind_resolvers(self.schema)
        self.documents = Documents(self.schema)
        self.executor = Executor(
            self.schema, self.documents, OpenPolicy(), trusted=TrustedDocuments(), bounds=bounds
        )

    async def answers(self, text: str, shelf: Shelf, **variables: Any) -> list[Answer]:
        request = GraphQLRequest(query=text, variables=variables)
        prepared = await self.executor.prepare(request, shelf)
        return [answer async for answer in self.executor.stream(prepared, shelf)]

    async def answer(self, text: str, shelf: Shelf, **variables: Any) -> dict[str, Any]:
        (answer,) = await self.answers(text, shelf, **variables)
        formatted = answer.formatted()
        del formatted["extensions"]
        return formatted
