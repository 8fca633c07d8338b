"""Expected failures of mutations, which are results instead of GraphQL errors."""

import strawberry


@strawberry.interface(description="An expected failure of a mutation.")
class UserError:
    code: str = strawberry.field(description="A stable code, for programs.")
    message: str = strawberry.field(description="What is wrong and what to do, for people.")
    path: list[str] = strawberry.field(description="The path of the input field.")
