"""Members as events write them: loaded, changed in memory, saved as a set."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import literal_column, null, select

from db.driver.any_of import any_of_parameter
from db.driver.compiled_statements import CompiledStatement, SqlRow
from db.driver.round_trips import Query
from db.queries.new_ids import new_ids
from db.queries.text_keys import number_key, search_key, sort_key
from db.sessions import WriteSession
from db.stamp import Stamp
from db.tables.models import Member, RoleAssignment
from db.vocabulary import ActivationState, MemberId, OrganizationId, PortalId, RoleId

RoleKey = tuple[RoleId, OrganizationId | None]
"""A role and where it is held; None is the home organization, whichever that is."""


class SavedRole(NamedTuple):
    """A row of the role assignments."""

    id: int
    since: datetime


SavedRoles = dict[RoleKey, SavedRole]


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
    saved_roles: SavedRoles = field(default_factory=dict)
    version: int | None = None
    """Of its row on PostgreSQL, when it was read: every write of a member or its roles makes
    another."""

    def load_roles(self, saved: SavedRoles) -> None:
        self.saved_roles = saved
        self.roles = {key: role.since for key, role in saved.items()}

    def index(self) -> None:
        """Brings what it is searched by up to date with its profile."""
        self.search_text = search_key(
            self.given_name, self.family_name, self.member_number, self.email
        )

    def copy(self) -> "MemberRecord":
        return MemberRecord(
            self.portal_id,
            self.id,
            self.member_number,
            self.given_name,
            self.family_name,
            self.email,
            self.phone,
            self.state,
            self.state_changed_at,
            self.organization_id,
            self.updated_at,
            dict(self.as_of),
            self.search_text,
            dict(self.roles),
            self.saved_roles,
            self.version,
        )


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


_OF_THESE = any_of_parameter(Member.portal_id, "portal_ids")
_RECORDS = CompiledStatement(
    select(*_COLUMNS, literal_column("members.xmin")).where(_OF_THESE),
    on_sqlite=select(*_COLUMNS, null()).where(_OF_THESE),
)
_ROLES = CompiledStatement(
    select(
        RoleAssignment.id,
        RoleAssignment.member_id,
        RoleAssignment.role_id,
        RoleAssignment.organization_id,
        RoleAssignment.since,
    )
    .join(Member, Member.id == RoleAssignment.member_id)
    .where(any_of_parameter(Member.portal_id, "portal_ids"))
)


def member_records(portal_ids: Collection[PortalId]) -> Query[list[MemberRecord]]:
    """The known ones among these members, without their roles."""
    return Query(
        _RECORDS, {"portal_ids": list(portal_ids)}, lambda rows: [_record(row) for row in rows]
    )


def saved_roles(portal_ids: Collection[PortalId]) -> Query[dict[MemberId, SavedRoles]]:
    """The roles of those of these members who have some."""
    return Query(_ROLES, {"portal_ids": list(portal_ids)}, _saved_roles)


def new_member_ids(count: int) -> Query[list[int]]:
    return new_ids(Member, count)


def _saved_roles(rows: Sequence[SqlRow]) -> dict[MemberId, SavedRoles]:
    saved: dict[MemberId, SavedRoles] = {}
    for id, member_id, role_id, organization_id, since in rows:
        saved.setdefault(member_id, {})[role_id, organization_id] = SavedRole(id, since)
    return saved


def _record(row: Sequence[Any]) -> MemberRecord:
    id, portal_id, number, given, family, email, phone, *others = row
    state, changed, home, updated, as_of, search_text, version = others
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
        version=version,
    )


async def save_members(
    session: WriteSession, records: Sequence[MemberRecord], ids: Sequence[int]
) -> None:
    """Writes members and their roles; `ids` are for those that have none yet.

    ConcurrentWriteError, raised when they are sent, means that another process created one of
    them at the same moment.
    """
    known = [record for record in records if record.id is not None]
    new = [record for record in records if record.id is None]
    for record, id in zip(new, ids, strict=False):
        record.id = MemberId(id)
    await session.update(
        Member,
        [{"row_id": r.id, **_values(r)} for r in known],
        versions=[r.version for r in known],
    )
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
    given: list[dict[str, Any]] = []
    restated: list[dict[str, Any]] = []
    taken: list[int] = []
    for record in records:
        taken += [role.id for key, role in record.saved_roles.items() if key not in record.roles]
        for key, since in record.roles.items():
            saved = record.saved_roles.get(key)
            if saved is None:
                role, where = key
                values = {"role_id": role, "organization_id": where, "since": since}
                given.append({"member_id": record.id, **values})
            elif saved.since != since:
                restated.append({"row_id": saved.id, "since": since})
    await session.delete(RoleAssignment, taken)
    await session.update(RoleAssignment, restated)
    await session.insert(RoleAssignment, given)
