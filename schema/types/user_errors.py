"""Expected failures of mutations: members of the result, not GraphQL errors."""

import strawberry


@strawberry.interface(description="An expected failure.")
class UserError:
    code: str = strawberry.field(description="Stable, for programs.")
    message: str = strawberry.field(description="What was wrong and what to do, for people.")
    path: list[str] = strawberry.field(description="The input field it is about.")
