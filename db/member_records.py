"""Members as events write them: loaded under a lock, changed in memory, saved as a set."""

from collections.abc import Collection, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select

from db.among import among_parameter
from db.hot import HotStatement
from db.models import Member, RoleAssignment
from db.stamp import Stamp
from db.text_keys import number_key, search_key, sort_key
from db.unit_of_work import WriteSession
from db.vocabulary import ActivationState, MemberId, OrganizationId, PortalId, RoleId

RoleKey = tuple[RoleId, OrganizationId | None]
"""A role and where it is held; None is the home organization, whichever that is."""


@dataclass(slots=True)
class MemberRecord:
    portal_id: PortalId
    id: MemberId | None = None
    member_number: str | None = None
    given_name: str | None = None
    family_name: str | None = None
    email: str | None = None
    phone: str | None = None
    state: ActivationState = ActivationState.ACTIVE
    state_changed_at: datetime | None = None
    organization_id: OrganizationId | None = None
    updated_at: datetime | None = None
    as_of: dict[str, Stamp] = field(default_factory=dict)
    search_text: str = ""
    roles: dict[RoleKey, datetime] = field(default_factory=dict)
    saved_roles: dict[RoleKey, datetime] = field(default_factory=dict)

    def index(self) -> None:
        """Brings what it is searched by up to date with its profile."""
        self.search_text = search_key(
            self.given_name, self.family_name, self.member_number, self.email
        )

    def copy(self) -> "MemberRecord":
        copied = copy(self)
        copied.as_of = dict(self.as_of)
        copied.roles = dict(self.roles)
        return copied


_COLUMNS = (
    Member.id,
    Member.portal_id,
    Member.member_number,
    Member.given_name,
    Member.family_name,
    Member.email,
    Member.phone,
    Member.state,
    Member.state_changed_at,
    Member.organization_id,
    Member.updated_at,
    Member.as_of,
    Member.search_text,
)


_FOR_UPDATE = HotStatement(
    select(*_COLUMNS)
    .where(among_parameter(Member.portal_id, "portal_ids"))
    .order_by(Member.portal_id)
    .with_for_update(key_share=True)
)
_ROLES = HotStatement(
    select(
        RoleAssignment.member_id,
        RoleAssignment.role_id,
        RoleAssignment.organization_id,
        RoleAssignment.since,
    ).where(among_parameter(RoleAssignment.member_id, "member_ids"))
)
_EMPTY_ROLES = HotStatement(
    delete(RoleAssignment).where(among_parameter(RoleAssignment.member_id, "member_ids"))
)


async def members_for_update(
    session: WriteSession, portal_ids: Collection[PortalId]
) -> dict[PortalId, MemberRecord]:
    """The known ones among these members, locked until commit in one order for all processes."""
    rows = await session.hot(_FOR_UPDATE, {"portal_ids": sorted(set(portal_ids))})
    by_id = {MemberId(row[0]): _record(row) for row in rows}
    if by_id:
        assignments = await session.hot(_ROLES, {"member_ids": list(by_id)})
        for member_id, role_id, organization_id, since in assignments:
            by_id[MemberId(member_id)].saved_roles[role_id, organization_id] = since
    for record in by_id.values():
        record.roles = dict(record.saved_roles)
    return {record.portal_id: record for record in by_id.values()}


def _record(row: Sequence[Any]) -> MemberRecord:
    id, portal_id, number, given, family, email, phone, *others = row
    state, changed, home, updated, as_of, search_text = others
    return MemberRecord(
        portal_id=portal_id,
        id=id,
        member_number=number,
        given_name=given,
        family_name=family,
        email=email,
        phone=phone,
        state=state,
        state_changed_at=changed,
        organization_id=home,
        updated_at=updated,
        as_of=dict(as_of),
        search_text=search_text,
    )


async def save_members(session: WriteSession, records: Sequence[MemberRecord]) -> None:
    """Writes members and their roles; gives new records their ids.

    Raises ConcurrentWriteError when another process creates one of them at the same moment.
    """
    new = [record for record in records if record.id is None]
    known = [record for record in records if record.id is not None]
    await session.update(Member, [{"row_id": r.id, **_values(r)} for r in known])
    for record, id in zip(new, await session.new_ids(Member, len(new)), strict=True):
        record.id = MemberId(id)
    rows = [{"id": r.id, "portal_id": r.portal_id, **_values(r)} for r in new]
    await session.insert(Member, rows)
    await _save_roles(session, records)


def _values(record: MemberRecord) -> dict[str, Any]:
    return {
        "member_number": record.member_number,
        "given_name": record.given_name,
        "family_name": record.family_name,
        "email": record.email,
        "phone": record.phone,
        "state": record.state,
        "state_changed_at": record.state_changed_at,
        "organization_id": record.organization_id,
        "updated_at": record.updated_at,
        "as_of": record.as_of,
        "sort_name": sort_key(record.family_name, record.given_name),
        "number_key": number_key(record.member_number),
        "search_text": record.search_text,
    }


async def _save_roles(session: WriteSession, records: Sequence[MemberRecord]) -> None:
    changed = [record for record in records if record.roles != record.saved_roles]
    if not changed:
        return
    emptied = [record.id for record in changed if record.saved_roles and record.id is not None]
    if emptied:
        await session.hot(_EMPTY_ROLES, {"member_ids": emptied})
    rows = [
        {"member_id": r.id, "role_id": role_id, "organization_id": where, "since": since}
        for r in changed
        for (role_id, where), since in r.roles.items()
    ]
    await session.insert(RoleAssignment, rows)
    for record in changed:
        record.saved_roles = dict(record.roles)
