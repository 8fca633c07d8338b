"""The role catalogue, and who holds what."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import func, select, update

from db.driver.any_of import any_of, any_of_parameter
from db.driver.compiled_statements import CompiledStatement
from db.driver.round_trips import Query
from db.publication import NewChange
from db.queries.new_ids import new_ids
from db.sessions import ReadSession, WriteSession
from db.tables.facts import ChangeFacts
from db.tables.models import Member, Role, RoleAssignment
from db.vocabulary import AccessLevel, MemberId, OrganizationId, RoleId


@dataclass(frozen=True, slots=True)
class RoleRow:
    id: RoleId
    code: str
    name: str
    access_level: AccessLevel
    decided: bool = True


@dataclass(frozen=True, slots=True)
class AssignmentRow:
    """`organization_id` is resolved: where the role names none, the home organization."""

    role: RoleRow
    organization_id: OrganizationId | None
    since: datetime


_CATALOGUE = CompiledStatement(
    select(Role.id, Role.code, Role.name, Role.access_level, Role.decided).order_by(
        Role.access_level.desc(), Role.code
    )
)
_HELD = CompiledStatement(
    select(
        RoleAssignment.member_id,
        Role.id,
        Role.code,
        Role.name,
        Role.access_level,
        Role.decided,
        func.coalesce(RoleAssignment.organization_id, Member.organization_id).label("place"),
        RoleAssignment.since,
    )
    .join(Role, Role.id == RoleAssignment.role_id)
    .join(Member, Member.id == RoleAssignment.member_id)
    .where(any_of_parameter(RoleAssignment.member_id, "member_ids"))
    .order_by(Role.access_level.desc(), Role.code, RoleAssignment.id)
)


async def role_catalogue(session: ReadSession) -> list[RoleRow]:
    """Every role, the highest access level first."""
    return await session.find(whole_catalogue())


def whole_catalogue() -> Query[list[RoleRow]]:
    return Query(_CATALOGUE, {}, lambda rows: [RoleRow(*row) for row in rows])


async def role_by_id(session: ReadSession, id: RoleId) -> RoleRow | None:
    return next((role for role in await role_catalogue(session) if role.id == id), None)


async def insert_roles(session: WriteSession, codes: Collection[str]) -> list[RoleRow]:
    """Adds these codes to the catalogue. They give MEMBER until somebody says otherwise.

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
    """None for an unknown code. Tells the feed, since it moves every holder's access at once."""
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
    """How many members hold each role, wherever."""
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
    """The role assignments of each member, the highest access level first."""
    held: dict[MemberId, list[AssignmentRow]] = {id: [] for id in member_ids}
    if not held:
        return held
    rows = await session.rows(_HELD, {"member_ids": list(held)})
    roles: dict[int, RoleRow] = {}
    for member_id, role_id, code, name, level, decided, place, since in rows:
        role = roles.get(role_id)
        if role is None:
            role = roles[role_id] = RoleRow(RoleId(role_id), code, name, level, decided)
        organization_id = OrganizationId(place) if place else None
        held[MemberId(member_id)].append(AssignmentRow(role, organization_id, since))
    return held


def access_level(held: Collection[AssignmentRow], *, active: bool) -> AccessLevel:
    if not active:
        return AccessLevel.NONE
    return max((held_role.role.access_level for held_role in held), default=AccessLevel.NONE)
