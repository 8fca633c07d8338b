"""The mutation `acknowledgeConcern`, by which somebody takes a concern on."""

from typing import Annotated

import strawberry

from schema.access import require_concern_keeper
from schema.context import Info
from schema.mutations.reasons import too_long_of
from schema.types.administration.concerns import ConcernType, concern_of, over
from schema.types.opaque import row_id, storable
from schema.types.user_errors import UserError


@strawberry.input(description="The concern, and why it is taken on.")
class AcknowledgeConcernInput:
    concern_id: strawberry.ID = strawberry.field(description="The id of the concern.")
    reason: str | None = strawberry.field(
        default=None,
        description="A note, which is kept in the audit trail; at most 1000 characters.",
    )


@strawberry.type(description="The concern is taken on.")
class AcknowledgeConcernSuccess:
    concern: ConcernType = strawberry.field(
        description="The concern as it is now: ACKNOWLEDGED until it grows, or OVER if it was "
        "about something that has passed."
    )


@strawberry.type(
    description="Nothing was acknowledged: CONCERN_NOT_FOUND (it is over, or never was) or "
    "REASON_TOO_LONG."
)
class AcknowledgeConcernError(UserError):
    pass


AcknowledgeConcernResult = Annotated[
    AcknowledgeConcernSuccess | AcknowledgeConcernError,
    strawberry.union("AcknowledgeConcernResult", description="The result of `acknowledgeConcern`."),
]


async def acknowledge_concern(
    info: Info,
    input: Annotated[
        AcknowledgeConcernInput, strawberry.argument(description="The concern, and why.")
    ],
) -> AcknowledgeConcernResult:
    await require_concern_keeper(info)
    concerns, number = info.context.concerns, row_id(input.concern_id, "Concern", "concernId")
    reason = storable(input.reason or "", "reason").strip()
    too_long = too_long_of(reason)
    if too_long is not None:
        return _refused("REASON_TOO_LONG", too_long, "reason")
    concern = concern_of(await concerns.standing(), number)
    if concern is None:
        return _refused("CONCERN_NOT_FOUND", "This concern does not stand any more.", "concernId")
    await concerns.acknowledge(concern, info.context.actor, reason)
    after = concern_of(await concerns.standing(), number)
    return AcknowledgeConcernSuccess(concern=ConcernType(after or over(concern)))


def _refused(code: str, message: str, field: str) -> AcknowledgeConcernError:
    return AcknowledgeConcernError(code=code, message=message, path=["input", field])
