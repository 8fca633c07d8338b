"""The mutation `setRoleAccess`, which changes what a role of the catalogue gives."""

from typing import Annotated

import strawberry
from msgspec.structs import replace

from db.driver.locks import role_catalogue_lock
from db.queries.chapters.national_body import NationalBody, has_national_administrator
from db.queries.chapters.roles import RoleRow, role_catalogue, role_holder_counts, set_role_access
from db.queries.log.audit_trail import Act, record_act
from db.sessions import ReadSession
from db.vocabulary import AccessLevel, AuditAction
from schema.access import require_catalogue_keeper
from schema.context import Info
from schema.types.nodes import RoleType
from schema.types.opaque import storable
from schema.types.user_errors import UserError


@strawberry.type(description="The role catalogue has no role with this code.")
class RoleNotFoundError(UserError):
    pass


@strawberry.type(
    description="After this mutation, no member would be administrator of the national body."
)
class LastAdministratorError(UserError):
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
    SetRoleAccessSuccess | RoleNotFoundError | LastAdministratorError,
    strawberry.union("SetRoleAccessResult", description="The result of `setRoleAccess`."),
]


async def set_access_of_role(
    info: Info,
    input: Annotated[
        SetRoleAccessInput, strawberry.argument(description="The role and its level.")
    ],
) -> SetRoleAccessResult:
    await require_catalogue_keeper(info)
    context = info.context
    async with context.database.write() as session:
        # Two changes at once could each leave it to the other to keep an administrator.
        await session.lock([role_catalogue_lock()])
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
        if await _takes_the_last_administrator(
            session, context.viewers.national_body, before, role.access_level
        ):
            return LastAdministratorError(
                code="LAST_ADMINISTRATOR",
                message=f"{code!r} is the only role that makes members administrators of the "
                "national body. Give ADMIN to another role that is held there first.",
                path=["input", "accessLevel"],
            )
        # Setting what is set already would end streams for nothing.
        if role != before:
            await set_role_access(session, code, role.access_level)
            detail = f"{before.access_level.name} -> {role.access_level.name}"
            act = Act(context.actor, AuditAction.ROLE_ACCESS_SET, (), code, detail)
            await record_act(session, act, context.clock())
        holders = (await role_holder_counts(session, [role.id]))[role.id]
    return SetRoleAccessSuccess(role=RoleType(role), holder_count=holders)


async def _takes_the_last_administrator(
    session: ReadSession, body: NationalBody, role: RoleRow, level: AccessLevel
) -> bool:
    if role.access_level < AccessLevel.ADMIN or level >= AccessLevel.ADMIN:
        return False
    return await has_national_administrator(session, body) and not await has_national_administrator(
        session, body, without_role=role.code
    )
