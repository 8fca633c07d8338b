"""Puts the schema together, with what reads and executes documents for it. Built once."""

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
    """Strawberry's types; documents are executed by `executor`, over whatever transport."""

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
        # What an error suggests is a part of the schema.
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
    """`guarded`: strangers cannot find out what there is to ask for. `seconds`: how long a query or
    mutation may take."""
    return Schema(guarded=guarded, known=known, budgets=budgets, seconds=seconds)
