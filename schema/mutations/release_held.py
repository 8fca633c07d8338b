"""The mutation `releaseHeld`, which decides what the deletion guard holds back."""

from typing import Annotated

import strawberry

from db.queries.runs.reconciliations import run_by_id
from schema.access import require_reconciler
from schema.context import Info
from schema.mutations.reasons import fault_of
from schema.types.administration.runs_of_sources import ReconciliationType
from schema.types.opaque import row_id, storable
from schema.types.user_errors import UserError
from sync.reconcile.holding import NothingHeldError, decide_held, held_of


@strawberry.input(description="What becomes of what a run holds back.")
class ReleaseHeldInput:
    reconciliation_id: strawberry.ID = strawberry.field(description="The id of the run.")
    release: bool = strawberry.field(
        description="True applies what the source says. False leaves here what is here, until the "
        "source says something else of it."
    )
    reason: str = strawberry.field(
        description="The reason, which is kept in the audit trail; at most 1000 characters."
    )


@strawberry.type(description="It is decided.")
class ReleaseHeldSuccess:
    reconciliation: ReconciliationType = strawberry.field(
        description="The run, as it is after the mutation."
    )
    decided: int = strawberry.field(
        description="The number of removals that were decided; 0 if somebody had decided before."
    )


@strawberry.type(
    description="Nothing was decided: RECONCILIATION_NOT_FOUND, REASON_MISSING or REASON_TOO_LONG."
)
class ReleaseHeldError(UserError):
    pass


ReleaseHeldResult = Annotated[
    ReleaseHeldSuccess | ReleaseHeldError,
    strawberry.union("ReleaseHeldResult", description="The result of `releaseHeld`."),
]


async def release_held(
    info: Info,
    input: Annotated[
        ReleaseHeldInput, strawberry.argument(description="The run, and what becomes of it.")
    ],
) -> ReleaseHeldResult:
    await require_reconciler(info)
    context, database = info.context, info.context.database
    run_id = row_id(input.reconciliation_id, "Reconciliation", "input.reconciliationId")
    reason = storable(input.reason, "input.reason").strip()
    fault = fault_of(reason)
    if fault is not None:
        return _refused(fault.code, fault.message, "reason")
    items = await held_of(database, run=run_id)
    try:
        await decide_held(
            database, items, context.actor, reason, context.clock, release=input.release
        )
    except NothingHeldError:
        items = []
    async with database.read() as session:
        run = await run_by_id(session, run_id)
    if run is None:
        text = "There is no such run. Query `reconciliations`."
        return _refused("RECONCILIATION_NOT_FOUND", text, "reconciliationId")
    return ReleaseHeldSuccess(reconciliation=ReconciliationType(run), decided=len(items))


def _refused(code: str, message: str, field: str) -> ReleaseHeldError:
    return ReleaseHeldError(code=code, message=message, path=["input", field])
