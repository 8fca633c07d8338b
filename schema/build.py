"""Builds the schema and its executor, once for the process."""

import strawberry
from strawberry.schema.config import StrawberryConfig

from schema.engine.cost import CostDirective, ListSizeDirective
from schema.engine.documents import Documents
from schema.engine.trusted_documents import KnownDocuments
from schema.execution import Budgets, Executor
from schema.mutations.mutation import Mutation
from schema.queries import Query
from schema.subscriptions import Subscription
from schema.types.nodes import MemberType, OrganizationType, RoleType, SyncLogEntryType
from schema.types.scalars import SCALARS


class Schema(strawberry.Schema):
    """The GraphQL schema. Its `executor` executes documents for every transport."""

    def __init__(
        self,
        *,
        budgets: Budgets | None = None,
        seconds: float = 10.0,
        guarded: bool = False,
        known: KnownDocuments | None = None,
    ) -> None:
        super().__init__(
            query=Query,
            mutation=Mutation,
            subscription=Subscription,
            types=[MemberType, OrganizationType, RoleType, SyncLogEntryType],
            schema_directives=[CostDirective, ListSizeDirective],
            config=StrawberryConfig(scalar_map=SCALARS),
        )
        # "Did you mean …?" would give away names of the schema.
        self.documents = Documents(self._schema, hide_suggestions=guarded)
        self.executor = Executor(
            self._schema,
            self.documents,
            budgets=budgets,
            seconds=seconds,
            guarded=guarded,
            known=known,
        )


def build_schema(
    *,
    guarded: bool = False,
    known: KnownDocuments | None = None,
    budgets: Budgets | None = None,
    seconds: float = 10.0,
) -> Schema:
    """Builds the schema. A query or mutation may take `seconds`; a `guarded` schema shows its names
    to administrators and operators only."""
    return Schema(guarded=guarded, known=known, budgets=budgets, seconds=seconds)
