"""The root type of mutations, and `setRoleAccess`."""

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


@strawberry.type(description="The role catalogue has no role with this code.")
class RoleNotFoundError(UserError):
    pass


@strawberry.input(description="The access level that a role gives from now on.")
class SetRoleAccessInput:
    code: str = strawberry.field(description="The portal's role code.")
    access_level: AccessLevel = strawberry.field(description="The new access level.")


@strawberry.type(description="The role's access level is set.")
class SetRoleAccessSuccess:
    role: RoleType = strawberry.field(description="The role with its new access level.")
    holder_count: int = strawberry.field(description="The number of members who hold the role.")


SetRoleAccessResult = Annotated[
    SetRoleAccessSuccess | RoleNotFoundError,
    strawberry.union("SetRoleAccessResult", description="The result of `setRoleAccess`."),
]


@strawberry.type(description="All mutations.")
class Mutation:
    replay_events: ReplayEventsResult = strawberry.mutation(
        resolver=replay_events,
        description="Applies recorded events again. Newer statements still win, so a replay is "
        "always safe. For administrators, who can replay the entries they see.",
        directives=[cost(WRITING)],
    )

    @strawberry.mutation(
        description="Sets the access level that a role gives to all its holders. For "
        "administrators of the national body.",
        directives=[cost(WRITING)],
    )
    async def set_role_access(
        self,
        info: Info,
        input: Annotated[
            SetRoleAccessInput, strawberry.argument(description="The role and its level.")
        ],
    ) -> SetRoleAccessResult:
        await require_catalogue_keeper(info)
        async with info.context.database.write() as session:
            code = storable(input.code, "input.code")
            known = {role.code: role for role in await role_catalogue(session)}
            before = known.get(code)
            if before is None:
                return RoleNotFoundError(
                    code="ROLE_NOT_FOUND",
                    message=f"There is no role {input.code!r}. Query `roles` for all roles.",
                    path=["input", "code"],
                )
            role = replace(before, access_level=input.access_level, decided=True)
            # Setting what is set already would end streams for nothing.
            if role != before:
                await set_role_access(session, code, role.access_level)
                detail = f"{before.access_level.name} -> {role.access_level.name}"
                act = Act(info.context.actor, AuditAction.ROLE_ACCESS_SET, (), code, detail)
                await record_act(session, act, info.context.clock())
            holders = (await role_holder_counts(session, [role.id]))[role.id]
        return SetRoleAccessSuccess(role=RoleType(role), holder_count=holders)
