"""The role catalogue and the role assignments."""

from collections.abc import Collection, Sequence
from datetime import datetime

import msgspec
from msgspec.structs import asdict
from sqlalchemy import false, func, select, update

from db.driver.statements.any_of import any_of, any_of_parameter
from db.driver.statements.compiled_statements import CompiledStatement, SqlRow
from db.driver.statements.round_trips import Query
from db.publication import NewChange
from db.queries.new_ids import new_ids
from db.queries.rows import columns_of
from db.sessions import ReadSession, WriteSession
from db.tables.facts import ChangeFacts
from db.tables.models import Member, Role, RoleAssignment
from db.vocabulary import AccessLevel, AssignmentId, MemberId, OrganizationId, PortalId, RoleId

MAX_UNDECIDED_ROLES = 200
"""Codes that came with events and wait for a decision. More of them are no catalogue but a mistake
of the sender."""


class RoleRow(msgspec.Struct, frozen=True):
    """An entry of the role catalogue. `decided`: a person has said what the role gives."""

    id: RoleId
    code: str
    name: str
    access_level: AccessLevel
    decided: bool = True


class AssignmentRow(msgspec.Struct, frozen=True):
    """A role that a member holds.

    `organization_id` is that of the home organization where the assignment names none.
    """

    id: AssignmentId
    role: RoleRow
    organization_id: OrganizationId | None
    since: datetime


_ROLE = columns_of(RoleRow, Role)
_CATALOGUE = CompiledStatement(select(*_ROLE).order_by(Role.access_level.desc(), Role.code))
_HELD = CompiledStatement(
    select(
        RoleAssignment.member_id,
        *_ROLE,
        RoleAssignment.id,
        func.coalesce(RoleAssignment.organization_id, Member.organization_id).label("place"),
        RoleAssignment.since,
    )
    .join(Role, Role.id == RoleAssignment.role_id)
    .join(Member, Member.id == RoleAssignment.member_id)
    .where(any_of_parameter(RoleAssignment.member_id, "member_ids"))
    .order_by(Role.access_level.desc(), Role.code, RoleAssignment.id)
)


_UNDECIDED = CompiledStatement(select(func.count(Role.id)).where(Role.decided.is_(false())))
_BY_CODE = select(*_ROLE).where(any_of_parameter(Role.code, "codes"))
_ROLES_BY_CODE = CompiledStatement(_BY_CODE)
# UNION rather than OR, so that both halves use their index however large the catalogue is.
_TOUCHED = CompiledStatement(
    _BY_CODE.union(
        select(*_ROLE)
        .join(RoleAssignment, RoleAssignment.role_id == Role.id)
        .join(Member, Member.id == RoleAssignment.member_id)
        .where(any_of_parameter(Member.portal_id, "portal_ids"))
    )
)


async def role_catalogue(session: ReadSession) -> list[RoleRow]:
    """Returns every role, the highest access level first."""
    return _role_rows(await session.rows(_CATALOGUE, {}))


def roles_touched(codes: Collection[str], portal_ids: Collection[PortalId]) -> Query[list[RoleRow]]:
    """Returns the known roles with these codes, and those that these members hold."""
    parameters = {"codes": list(codes), "portal_ids": list(portal_ids)}
    return Query(_TOUCHED, parameters, _role_rows)


def roles_by_code(codes: Collection[str]) -> Query[list[RoleRow]]:
    """Returns the known roles with these codes."""
    return Query(_ROLES_BY_CODE, {"codes": list(codes)}, _role_rows)


def _role_rows(rows: Sequence[SqlRow]) -> list[RoleRow]:
    return [RoleRow(*row) for row in rows]


async def role_by_id(session: ReadSession, id: RoleId) -> RoleRow | None:
    return next((role for role in await role_catalogue(session) if role.id == id), None)


def undecided_count() -> Query[int]:
    """Returns how many codes of the catalogue wait for a decision."""
    return Query(_UNDECIDED, {}, lambda rows: rows[0][0])


async def insert_roles(session: WriteSession, codes: Collection[str]) -> list[RoleRow]:
    """Adds these codes to the catalogue, with the level MEMBER until somebody decides another.

    ConcurrentWriteError, raised when they are sent, means that another process added one of them
    at the same moment.
    """
    if not codes:
        return []
    ids = await session.find(new_ids(Role, len(codes)))
    roles = [
        RoleRow(RoleId(id), code, code, AccessLevel.MEMBER, decided=False)
        for id, code in zip(ids, sorted(codes), strict=True)
    ]
    await session.insert(Role, [asdict(role) for role in roles])
    return roles


async def set_role_access(session: WriteSession, code: str, level: AccessLevel) -> RoleRow | None:
    """Sets the level of a role and returns the role, or None for an unknown code.

    Appends a change to the feed, since the access of every holder changes at once.
    """
    result = await session.run(
        update(Role)
        .where(Role.code == code)
        .values(access_level=level, decided=True)
        .returning(Role.id, Role.code, Role.name)
    )
    row = result.first()
    if row is None:
        return None
    session.append(NewChange(access_changed=True, facts=ChangeFacts(catalogue_changed=True)))
    return RoleRow(RoleId(row.id), row.code, row.name, level)


async def role_holder_counts(
    session: ReadSession, role_ids: Collection[RoleId]
) -> dict[RoleId, int]:
    """Returns how many members hold each role, in any organization."""
    rows = await session.all(
        select(RoleAssignment.role_id, func.count(RoleAssignment.member_id.distinct()))
        .where(any_of(RoleAssignment.role_id, role_ids))
        .group_by(RoleAssignment.role_id)
    )
    counts = {RoleId(id): count for id, count in rows}
    return {id: counts.get(id, 0) for id in role_ids}


async def roles_held(
    session: ReadSession, member_ids: Collection[MemberId]
) -> dict[MemberId, list[AssignmentRow]]:
    """Returns the role assignments of each member, the highest access level first."""
    held: dict[MemberId, list[AssignmentRow]] = {id: [] for id in member_ids}
    if not held:
        return held
    rows = await session.rows(_HELD, {"member_ids": list(held)})
    roles: dict[int, RoleRow] = {}
    for member_id, role_id, *others, assignment_id, place, since in rows:
        role = roles.get(role_id)
        if role is None:
            role = roles[role_id] = RoleRow(role_id, *others)
        held[member_id].append(AssignmentRow(assignment_id, role, place, since))
    return held


async def holders(
    session: ReadSession, assignment_ids: Collection[AssignmentId]
) -> dict[AssignmentId, MemberId]:
    """Returns who holds each of the roles."""
    rows = await session.all(
        select(RoleAssignment.id, RoleAssignment.member_id).where(
            any_of(RoleAssignment.id, assignment_ids)
        )
    )
    return {AssignmentId(id): MemberId(member_id) for id, member_id in rows}


def access_level(held: Collection[AssignmentRow], *, active: bool) -> AccessLevel:
    if not active:
        return AccessLevel.NONE
    return max((held_role.role.access_level for held_role in held), default=AccessLevel.NONE)
