"""Members as they are known, to be compared with what a source says of them."""

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Integer, bindparam, func, select

from db.driver.statements.any_of import any_of_parameter
from db.driver.statements.compiled_statements import CompiledStatement
from db.sessions import ReadSession
from db.stamp import Stamp, stated_by
from db.tables.models import (
    Member,
    Organization,
    OverruledStatement,
    Role,
    RoleAssignment,
    SyncAttempt,
    SyncLogEntry,
)
from db.tables.profile import PROFILE_FIELDS
from db.vocabulary import ActivationState, AttemptTrigger, PortalId, SyncOutcome

HeldRole = tuple[str, PortalId | None]
"""The code of a role and the chapter where it is held; None is the home organization."""


class KnownMember(msgspec.Struct, frozen=True):
    """A member as it is known. `home` is the portal's id of the home organization; `overruled` has
    fingerprints of what the portal had last said of parts that were corrected."""

    portal_id: PortalId
    profile: dict[str, str | None]
    state: ActivationState
    home: PortalId | None
    roles: frozenset[HeldRole]
    as_of: dict[str, Stamp]
    overruled: dict[str, str] = {}


class ActiveMember(msgspec.Struct, frozen=True):
    portal_id: PortalId
    home: PortalId | None


class KnownOrganization(msgspec.Struct, frozen=True):
    name: str | None
    parent: PortalId | None


_PROFILE = [getattr(Member, field) for field in PROFILE_FIELDS]
_MEMBERS = CompiledStatement(
    select(Member.portal_id, Member.state, Organization.portal_id, Member.as_of, *_PROFILE)
    .join(Organization, Organization.id == Member.organization_id, isouter=True)
    .where(any_of_parameter(Member.portal_id, "portal_ids"))
)
_ROLES = CompiledStatement(
    select(Member.portal_id, Role.code, Organization.portal_id)
    .select_from(RoleAssignment)
    .join(Member, Member.id == RoleAssignment.member_id)
    .join(Role, Role.id == RoleAssignment.role_id)
    .join(Organization, Organization.id == RoleAssignment.organization_id, isouter=True)
    .where(any_of_parameter(Member.portal_id, "portal_ids"))
)
_OVERRULED = CompiledStatement(
    select(
        OverruledStatement.portal_id, OverruledStatement.part, OverruledStatement.fingerprint
    ).where(any_of_parameter(OverruledStatement.portal_id, "portal_ids"))
)
_PAGE = 5000
_ACTIVE = CompiledStatement(
    select(Member.id, Member.portal_id, Organization.portal_id, Member.as_of)
    .join(Organization, Organization.id == Member.organization_id, isouter=True)
    .where(
        Member.state == ActivationState.ACTIVE,
        Member.id > bindparam("after", type_=Integer),
    )
    .order_by(Member.id)
    .limit(bindparam("size", type_=Integer))
)


async def known_members(
    session: ReadSession, portal_ids: Collection[PortalId]
) -> dict[PortalId, KnownMember]:
    """Returns those of them who are known."""
    parameters = {"portal_ids": list(portal_ids)}
    roles: dict[PortalId, set[HeldRole]] = {}
    for portal_id, code, where in await session.rows(_ROLES, parameters):
        roles.setdefault(portal_id, set()).add((code, where))
    overruled: dict[PortalId, dict[str, str]] = {}
    for portal_id, part, fingerprint in await session.rows(_OVERRULED, parameters):
        overruled.setdefault(portal_id, {})[part] = fingerprint
    return {
        portal_id: KnownMember(
            portal_id=portal_id,
            profile=dict(zip(PROFILE_FIELDS, profile, strict=True)),
            state=state,
            home=home,
            roles=frozenset(roles.get(portal_id, ())),
            as_of=as_of,
            overruled=overruled.get(portal_id, {}),
        )
        for portal_id, state, home, as_of, *profile in await session.rows(_MEMBERS, parameters)
    }


async def active_members_of(session: ReadSession, source: str) -> AsyncIterator[ActiveMember]:
    """Yields the active members of whom this source has stated something that still stands."""
    after = 0
    while True:
        rows = await session.rows(_ACTIVE, {"after": after, "size": _PAGE})
        for id, portal_id, home, as_of in rows:
            after = id
            if any(stated_by(stamp) == source for stamp in as_of.values()):
                yield ActiveMember(portal_id, home)
        if len(rows) < _PAGE:
            return


async def known_organizations(session: ReadSession) -> dict[PortalId, KnownOrganization]:
    rows = await session.all(
        select(
            Organization.id,
            Organization.portal_id,
            Organization.name,
            Organization.stated_parent_id,
        )
    )
    portal_ids: dict[int, PortalId] = {row.id: PortalId(row.portal_id) for row in rows}
    return {
        PortalId(row.portal_id): KnownOrganization(
            row.name,
            None if row.stated_parent_id is None else portal_ids[row.stated_parent_id],
        )
        for row in rows
    }


async def deactivations_since(session: ReadSession, source: str, since: datetime) -> int:
    """Returns how many members runs of a reconciliation have deactivated from then on."""
    entries: Sequence[object] = await session.all(
        select(func.count(func.distinct(SyncLogEntry.id)))
        .join(SyncAttempt, SyncAttempt.entry_id == SyncLogEntry.id)
        .where(
            SyncAttempt.trigger == AttemptTrigger.RECONCILIATION,
            SyncAttempt.outcome == SyncOutcome.DEACTIVATED,
            SyncAttempt.attempted_at >= since,
            SyncLogEntry.source == source,
        )
    )
    (row,) = entries
    count: int = row[0]  # type: ignore[index]  # a row of one column
    return count
