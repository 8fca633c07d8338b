"""Builds the schema and its executor, once for the process."""

import strawberry
from strawberry.schema.config import StrawberryConfig

from schema.access import AccessPolicy
from schema.engine.binding import bind_resolvers
from schema.engine.checks.cost import CostDirective, ListSizeDirective
from schema.engine.documents import Documents
from schema.engine.executor import DEFAULT_BOUNDS, Bounds, Executor
from schema.engine.stored.trusted_documents import TrustedDocuments
from schema.mutations.mutation import Mutation
from schema.queries import Query
from schema.subscriptions import Subscription
from schema.types.nodes import MemberType, OrganizationType, RoleType, SyncLogEntryType
from schema.types.scalars import SCALARS


class Schema(strawberry.Schema):
    """The GraphQL schema. Its `executor` executes documents for every transport."""

    def __init__(self, policy: AccessPolicy, trusted: TrustedDocuments, bounds: Bounds) -> None:
        super().__init__(
            query=Query,
            mutation=Mutation,
            subscription=Subscription,
            types=[MemberType, OrganizationType, RoleType, SyncLogEntryType],
            schema_directives=[CostDirective, ListSizeDirective],
            config=StrawberryConfig(scalar_map=SCALARS),
        )
        bind_resolvers(self._schema)
        # "Did you mean …?" would give away names of the schema.
        self.documents = Documents(self._schema, hide_suggestions=policy.guarded)
        self.executor = Executor(
            self._schema, self.documents, policy, trusted=trusted, bounds=bounds
        )


def build_schema(
    policy: AccessPolicy | None = None,
    *,
    trusted: TrustedDocuments | None = None,
    bounds: Bounds = DEFAULT_BOUNDS,
) -> Schema:
    """Builds the schema."""
    return Schema(policy or AccessPolicy(), trusted or TrustedDocuments(), bounds)
