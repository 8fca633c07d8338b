"""The mutation `forgetMember`, which removes everything about a person."""

from typing import Annotated

import strawberry

from schema.access import require_forgetter
from schema.context import Info
from schema.types.opaque import storable
from schema.types.user_errors import UserError
from sync.correcting.forgetting_persons import forget_person
from sync.errors import ForgettingRefusedError


@strawberry.input(description="Who is to be forgotten, and why.")
class ForgetMemberInput:
    portal_id: str = strawberry.field(
        description="The portal id of the person, who need not be known here."
    )
    reason: str = strawberry.field(
        description="The reason, which is kept in the audit trail and must not tell who it is; at "
        "most 1000 characters."
    )


@strawberry.type(description="The person is forgotten.")
class ForgetMemberSuccess:
    report: str = strawberry.field(
        description="How many rows were removed or emptied, table by table; the same as the detail "
        "of the log entry."
    )


@strawberry.type(
    description="Nobody was forgotten: PORTAL_ID_INVALID, REASON_MISSING, REASON_TOO_LONG, "
    "REASON_NAMES_PERSON or LAST_ADMINISTRATOR."
)
class ForgetMemberError(UserError):
    pass


ForgetMemberResult = Annotated[
    ForgetMemberSuccess | ForgetMemberError,
    strawberry.union("ForgetMemberResult", description="The result of `forgetMember`."),
]


async def forget_member(
    info: Info,
    input: Annotated[ForgetMemberInput, strawberry.argument(description="The person and why.")],
) -> ForgetMemberResult:
    await require_forgetter(info)
    context = info.context
    try:
        forgotten = await forget_person(
            context.database,
            storable(input.portal_id, "input.portalId"),
            storable(input.reason, "input.reason"),
            context.actor,
            context.clock,
            national_body=context.viewers.national_body,
        )
    except ForgettingRefusedError as error:
        path = ["input", error.field]
        return ForgetMemberError(code=error.fault.value, message=str(error), path=path)
    return ForgetMemberSuccess(report=forgotten.report)
