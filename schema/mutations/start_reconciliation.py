"""The mutation `startReconciliation`, which asks for a comparison with a source."""

from datetime import datetime
from typing import Annotated

import strawberry

from schema.access import require_reconciler
from schema.context import Info
from schema.mutations.reasons import fault_of
from schema.types.opaque import storable
from schema.types.user_errors import UserError
from sync.reconcile.asking import AlreadyAskedError, Wish, ask_for_comparison


@strawberry.input(description="What to compare, and why.")
class StartReconciliationInput:
    source: str = strawberry.field(description="The name of the source.")
    full: bool = strawberry.field(
        default=False,
        description="Compares all members of the portal, not only those whom it has changed since "
        "it was read last.",
    )
    dry_run: bool = strawberry.field(
        default=False, description="Only tells what differs; nothing is applied or held."
    )
    reason: str = strawberry.field(
        description="The reason, which is kept in the audit trail; at most 1000 characters."
    )


@strawberry.type(
    description="The comparison is asked for. It begins within seconds, unless the source is being "
    "compared already, and is then the newest of `reconciliations`."
)
class StartReconciliationSuccess:
    source: str = strawberry.field(description="The name of the source.")
    requested_at: datetime = strawberry.field(description="The time of the request.")


@strawberry.type(
    description="The comparison cannot be asked for: SOURCE_NOT_FOUND, SOURCE_NOT_COMPARABLE (its "
    "portal cannot be read), REASON_MISSING, REASON_TOO_LONG, or ALREADY_REQUESTED."
)
class StartReconciliationError(UserError):
    pass


StartReconciliationResult = Annotated[
    StartReconciliationSuccess | StartReconciliationError,
    strawberry.union(
        "StartReconciliationResult", description="The result of `startReconciliation`."
    ),
]


async def start_reconciliation(
    info: Info,
    input: Annotated[
        StartReconciliationInput, strawberry.argument(description="What to compare, and why.")
    ],
) -> StartReconciliationResult:
    await require_reconciler(info)
    context = info.context
    name = storable(input.source, "input.source")
    reason = storable(input.reason, "input.reason").strip()
    source = next((each for each in context.sources if each.name == name), None)
    if source is None:
        return _refused("SOURCE_NOT_FOUND", f"There is no source {name!r}. Query `sources`.")
    if not source.comparable:
        text = f"The source {name!r} has no Web API in a mapping, so it cannot be read."
        return _refused("SOURCE_NOT_COMPARABLE", text)
    fault = fault_of(reason)
    if fault is not None:
        return _refused(fault.code, fault.message, "reason")
    wish = Wish(name, input.full, input.dry_run, context.actor, reason)
    try:
        requested_at = await ask_for_comparison(context.database, wish, context.clock)
    except AlreadyAskedError:
        return _refused("ALREADY_REQUESTED", f"A comparison of {name!r} is asked for already.")
    return StartReconciliationSuccess(source=name, requested_at=requested_at)


def _refused(code: str, message: str, field: str = "source") -> StartReconciliationError:
    return StartReconciliationError(code=code, message=message, path=["input", field])
