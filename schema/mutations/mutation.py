"""What can be changed through the API. Expected failures are part of the result."""

from typing import Annotated

import strawberry
from msgspec.structs import replace

from db.queries.audit_trail import Act, record_act
from db.queries.roles import role_catalogue, role_holder_counts, set_role_access
from db.vocabulary import AccessLevel, AuditAction
from schema.access import require_catalogue_keeper
from schema.context import Info
from schema.mutations.replay_events import ReplayEventsResult, replay_events
from schema.types.costs import WRITING, cost
from schema.types.nodes import RoleType
from schema.types.opaque import storable
from schema.types.user_errors import UserError


@strawberry.type(description="There is no role of this code in the catalogue.")
class RoleNotFoundError(UserError):
    pass


@strawberry.input(description="What a role shall give from now on.")
class SetRoleAccessInput:
    code: str = strawberry.field(description="The portal's role code.")
    access_level: AccessLevel = strawberry.field(description="The new access level.")


@strawberry.type(description="The role's access level is set.")
class SetRoleAccessSuccess:
    role: RoleType = strawberry.field(description="The role as it is now.")
    holder_count: int = strawberry.field(description="How many members hold it, and are affected.")


SetRoleAccessResult = Annotated[
    SetRoleAccessSuccess | RoleNotFoundError,
    strawberry.union("SetRoleAccessResult", description="What `setRoleAccess` answers."),
]


@strawberry.type(description="What can be changed.")
class Mutation:
    replay_events: ReplayEventsResult = strawberry.mutation(
        resolver=replay_events,
        description="Applies recorded events again; what is newer still wins, so it is always "
        "safe. For administrators, within what they see.",
        directives=[cost(WRITING)],
    )

    @strawberry.mutation(
        description="Sets what a role of the catalogue gives, for all its holders at once. For "
        "administrators of the national body.",
        directives=[cost(WRITING)],
    )
    async def set_role_access(
        self,
        info: Info,
        input: Annotated[SetRoleAccessInput, strawberry.argument(description="Role and level.")],
    ) -> SetRoleAccessResult:
        await require_catalogue_keeper(info)
        async with info.context.database.write() as session:
            code = storable(input.code, "input.code")
            known = {role.code: role for role in await role_catalogue(session)}
            before = known.get(code)
            if before is None:
                return RoleNotFoundError(
                    code="ROLE_NOT_FOUND",
                    message=f"There is no role {input.code!r}. Ask for `roles` to see them all.",
                    path=["input", "code"],
                )
            role = replace(before, access_level=input.access_level, decided=True)
            # What is so already ends nobody's stream.
            if role != before:
                await set_role_access(session, code, role.access_level)
                detail = f"{before.access_level.name} -> {role.access_level.name}"
                act = Act(info.context.actor, AuditAction.ROLE_ACCESS_SET, (), code, detail)
                await record_act(session, act, info.context.clock())
            holders = (await role_holder_counts(session, [role.id]))[role.id]
        return SetRoleAccessSuccess(role=RoleType(role), holder_count=holders)
