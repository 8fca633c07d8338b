"""Members as events write them: loaded, changed in memory and saved, all of a batch at once."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import asdict, replace
from sqlalchemy import literal_column, null, select, union_all

from db.driver.statements.any_of import any_of_parameter
from db.driver.statements.compiled_statements import CompiledStatement, SqlRow
from db.driver.statements.round_trips import Query
from db.queries.collation import collation_key
from db.queries.new_ids import new_ids
from db.queries.rows import columns_of
from db.queries.text_keys import number_key, search_key
from db.sessions import WriteSession
from db.stamp import Stamp
from db.tables.models import Member, MemberMerge, RoleAssignment
from db.tables.profile import PROFILE_FIELDS, Profile, empty_profile
from db.vocabulary import ActivationState, MemberId, OrganizationId, PortalId, RoleId

RoleKey = tuple[RoleId, OrganizationId | None]
"""A role and the organization where it is held; None stands for the home organization."""


class SavedRole(NamedTuple):
    """A row of `role_assignments`."""

    id: int
    since: datetime


SavedRoles = dict[RoleKey, SavedRole]


class MemberRecord(msgspec.Struct):
    """A member as events change them: the row, and the roles beside it."""

    portal_id: PortalId
    profile: Profile = msgspec.field(default_factory=empty_profile)
    id: MemberId | None = None
    state: ActivationState = ActivationState.ACTIVE
    state_changed_at: datetime | None = None
    organization_id: OrganizationId | None = None
    updated_at: datetime | None = None
    unlisted_roles: str | None = None
    """Stated roles without an entry in the catalogue, as people read them. They give no access."""
    as_of: dict[str, Stamp] = msgspec.field(default_factory=dict)
    search_text: str = ""
    roles: dict[RoleKey, datetime] = msgspec.field(default_factory=dict)
    saved_roles: SavedRoles = msgspec.field(default_factory=dict)
    version: int | None = None
    """The version of the row on PostgreSQL when it was read. Every write of a member or of their
    roles makes another one."""

    def load_roles(self, saved: SavedRoles) -> None:
        self.saved_roles = saved
        self.roles = {key: role.since for key, role in saved.items()}

    def state_profile(self, stated: Mapping[str, str | None]) -> None:
        """Gives these fields of the profile other values."""
        self.profile = replace(self.profile, **stated)

    def index(self) -> None:
        """Makes the searched text follow from the profile."""
        profile = self.profile
        self.search_text = search_key(
            profile.given_name, profile.family_name, profile.member_number, profile.email
        )

    def copy(self) -> "MemberRecord":
        """Returns a copy that can be changed without changing this record."""
        return replace(
            self,
            as_of=dict(self.as_of),
            roles=dict(self.roles),
        )


# The fields of a record that are columns, beside those of the profile.
_FIELDS = tuple(name for name in MemberRecord.__struct_fields__ if name in Member.__table__.columns)
_IDS = ("id", "portal_id")
_COLUMNS = (*columns_of(Profile, Member), *(getattr(Member, name) for name in _FIELDS))


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
    """Returns those of these members who are known, without their roles."""
    return Query(
        _RECORDS, {"portal_ids": list(portal_ids)}, lambda rows: [_record(row) for row in rows]
    )


def saved_roles(portal_ids: Collection[PortalId]) -> Query[dict[MemberId, SavedRoles]]:
    """Returns the roles of these members; those without roles are missing."""
    return Query(_ROLES, {"portal_ids": list(portal_ids)}, _saved_roles)


class MemberHome(NamedTuple):
    """A member's id and home organization."""

    member_id: MemberId
    organization_id: OrganizationId | None


_HOMES = CompiledStatement(
    union_all(
        select(Member.portal_id, Member.id, Member.organization_id).where(_OF_THESE),
        *(
            select(id, Member.id, Member.organization_id)
            .join(Member, Member.id == MemberMerge.person_id)
            .where(any_of_parameter(id, "portal_ids"))
            for id in (MemberMerge.merged_id, MemberMerge.into_id)
        ),
    )
)


def member_homes(portal_ids: Collection[PortalId]) -> Query[dict[PortalId, MemberHome]]:
    """Returns the ids and homes of those of these members who are known; under an id that was
    merged into another one, those of the person who lives on."""
    return Query(_HOMES, {"portal_ids": list(portal_ids)}, _homes)


def _homes(rows: Sequence[SqlRow]) -> dict[PortalId, MemberHome]:
    return {portal_id: MemberHome(id, home) for portal_id, id, home in rows}


def new_member_ids(count: int) -> Query[list[int]]:
    return new_ids(Member, count)


def _saved_roles(rows: Sequence[SqlRow]) -> dict[MemberId, SavedRoles]:
    saved: dict[MemberId, SavedRoles] = {}
    for id, member_id, role_id, organization_id, since in rows:
        saved.setdefault(member_id, {})[role_id, organization_id] = SavedRole(id, since)
    return saved


def _record(row: SqlRow) -> MemberRecord:
    width = len(PROFILE_FIELDS)
    *columns, version = row[width:]
    record = MemberRecord(
        profile=Profile(*row[:width]), version=version, **dict(zip(_FIELDS, columns, strict=True))
    )
    record.as_of = dict(record.as_of)
    return record


async def save_members(
    session: WriteSession, records: Sequence[MemberRecord], ids: Sequence[int]
) -> None:
    """Writes members and their roles; new members get the next of `ids`.

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
    """Returns the columns of a record that may change."""
    profile = record.profile
    return {
        **asdict(profile),
        **{name: getattr(record, name) for name in _FIELDS if name not in _IDS},
        "sort_name": collation_key(profile.family_name, profile.given_name),
        "number_key": number_key(profile.member_number),
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
