"""Reads what events touch in one round trip: their members, chapters and roles, locked."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from db.driver.locks import (
    LockName,
    member_lock,
    organization_lock,
    role_catalogue_lock,
    tree_lock,
)
from db.driver.statements.round_trips import Query
from db.queries.chapters.organizations import (
    OrganizationRow,
    insert_stubs,
    organization_records,
    organizations_of_members,
)
from db.queries.chapters.roles import (
    MAX_UNDECIDED_ROLES,
    RoleRow,
    insert_roles,
    roles_touched,
    undecided_count,
)
from db.queries.members.forgotten_persons import Tombstone, tombstones
from db.queries.members.member_records import (
    MemberRecord,
    SavedRoles,
    member_records,
    new_member_ids,
    saved_roles,
)
from db.queries.members.merges import survivors
from db.sessions import WriteSession
from db.vocabulary import MemberId, OrganizationId, PortalId
from sync.applying.draft import Catalogue
from sync.events import AnyEvent, Event


def member_locks(events: Collection[AnyEvent]) -> set[LockName]:
    """Returns the locks of the members that the events are about."""
    return {member_lock(id) for id in _members(events)}


def organization_locks(events: Collection[AnyEvent]) -> set[LockName]:
    """Returns the locks of the chapters that the events mention, and of the tree if they state a
    place in it. They may be shared as long as nothing of a chapter changes: most events state what
    is known already."""
    locks = {organization_lock(id) for id in _mentioned(events)}
    return locks | {tree_lock()} if any(event.states_parent() for event in events) else locks


def locks_for(events: Collection[AnyEvent]) -> set[LockName]:
    """Returns the locks that must be held while the events are applied."""
    return member_locks(events) | organization_locks(events)


@dataclass(frozen=True, slots=True)
class Known:
    """The members and chapters of some events, as they are known before these are applied.

    `new_ids` are ids for members that are not known yet. `survivors` has the ids that live on of
    those that were merged into others, `forgotten` the tombstones of those that were forgotten.
    """

    members: dict[PortalId, MemberRecord]
    catalogue: Catalogue
    new_ids: list[int]
    survivors: dict[PortalId, PortalId]
    forgotten: dict[PortalId, Tombstone]


class Reading:
    """The queries for what some events touch. They can be fetched together with other queries."""

    def __init__(self, events: Collection[AnyEvent]) -> None:
        members = _members(events)
        self._organizations = organization_records(_mentioned(events))
        self._roles = roles_touched(_codes(events), members)
        self._members = member_records(members)
        self._saved_roles = saved_roles(members)
        self._places = organizations_of_members(members)
        self._new_ids = new_member_ids(len(members))
        self._survivors = survivors(members)
        self._forgotten = tombstones(members)

    @classmethod
    async def fetched(cls, session: WriteSession, events: Collection[AnyEvent]) -> "Reading":
        """Takes the locks of the events and fetches the queries."""
        reading = cls(events)
        await session.lock(locks_for(events))
        await session.fetch(*reading.queries())
        return reading

    def queries(self) -> tuple[Query[Any], ...]:
        return (
            self._organizations,
            self._roles,
            self._members,
            self._saved_roles,
            self._places,
            self._new_ids,
            self._survivors,
            self._forgotten,
        )

    async def known(self, session: WriteSession, events: Collection[AnyEvent]) -> Known:
        """Returns what was fetched, after adding the chapters and role codes that are new.

        `events` are those of the reading, or fewer. Raises SharedLockError if a chapter or a code
        is new and its lock is not held exclusively.
        """
        others = await self._of_survivors(session)
        organizations = self._organizations.found
        unknown = sorted(_mentioned(events) - organizations.keys())
        session.require_locked([organization_lock(id) for id in unknown])
        for stub in await insert_stubs(session, unknown):
            organizations[stub.portal_id] = stub
        roles = {role.code: role for role in self._roles.found} | others.roles
        new_codes = await _listed(session, _codes(events) - roles.keys())
        roles |= {role.code: role for role in await insert_roles(session, new_codes)}
        places = self._places.found | others.places
        labels = {place.id: place.name or place.portal_id for place in places.values()}
        for organization in organizations.values():
            labels[organization.id] = organization.label()
            if organization.stated_parent_id and organization.parent_label:
                labels.setdefault(organization.stated_parent_id, organization.parent_label)
        catalogue = Catalogue(organizations, roles, new_codes, labels)
        members = self._known_members() | others.members
        return Known(
            members,
            catalogue,
            self._new_ids.found,
            self._survivors.found,
            self._forgotten.found,
        )

    async def _of_survivors(self, session: WriteSession) -> "_Survivors":
        """Reads the members that live on in place of those that were merged into them."""
        ids = set(self._survivors.found.values())
        if not ids:
            return _Survivors({}, {}, {})
        await session.lock([member_lock(id) for id in ids])
        members, held = member_records(ids), saved_roles(ids)
        roles, places = roles_touched((), ids), organizations_of_members(ids)
        await session.fetch(members, held, roles, places)
        return _Survivors(
            _with_roles(members.found, held.found),
            {role.code: role for role in roles.found},
            places.found,
        )

    def _known_members(self) -> dict[PortalId, MemberRecord]:
        return _with_roles(self._members.found, self._saved_roles.found)


class _Survivors(NamedTuple):
    members: dict[PortalId, MemberRecord]
    roles: dict[str, RoleRow]
    places: dict[OrganizationId, OrganizationRow]


def _with_roles(
    records: Collection[MemberRecord], held: Mapping[MemberId, SavedRoles]
) -> dict[PortalId, MemberRecord]:
    for record in records:
        if record.id is not None and record.id in held:
            record.load_roles(held[record.id])
    return {record.portal_id: record for record in records}


async def _listed(session: WriteSession, unknown: Collection[str]) -> frozenset[str]:
    """Returns those of these codes for which the catalogue has room."""
    if not unknown:
        return frozenset()
    # Nobody else may add codes between the count and the insert.
    await session.lock([role_catalogue_lock()])
    room = MAX_UNDECIDED_ROLES - await session.find(undecided_count())
    return frozenset(sorted(unknown)[: max(room, 0)])


def _about_members(events: Collection[AnyEvent]) -> list[Event]:
    return [event for event in events if isinstance(event, Event)]


def _members(events: Collection[AnyEvent]) -> set[PortalId]:
    return {id for event in _about_members(events) for id in event.member_ids()}


def _codes(events: Collection[AnyEvent]) -> set[str]:
    return {role.code for event in _about_members(events) for role in event.roles or ()}


def _mentioned(events: Collection[AnyEvent]) -> set[PortalId]:
    return {id for event in events for id in event.organization_ids()}
