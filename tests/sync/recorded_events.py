"""Events recorded without a service around them, and the world they end in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from db.database import Database
from db.feed.changes import changes_after
from db.publication import CommittedChange
from db.queries.chapters.national_body import NationalBody
from db.queries.keyset import PageRequest
from db.queries.log.entries import EntryFilter, EntryRow, entry_page
from db.queries.members.member_pages import MemberFilter, MemberOrder, member_page
from db.queries.members.viewers import ViewerLookups
from db.queries.members.visibility import EVERYTHING
from db.tables.models import Member, Organization, Role, RoleAssignment, SyncLogEntry
from db.vocabulary import ActivationState, EntryMark, PortalId, Position, SyncStatus
from sync.recording.deliveries import Delivery, Receipt, read_delivery
from sync.recording.record import record_deliveries
from tests.support.builders import EPOCH, body_of, guid
from tests.support.opened import opened

RECEIVED = EPOCH + timedelta(days=1)

RoleHeld = tuple[str, str | None, datetime]
"""Role code, the portal's id of the chapter (None: the home organization), since when."""


@dataclass(frozen=True)
class Person:
    """A member as stored; `home` is the portal's id of the home organization."""

    profile: dict[str, str | None]
    state: ActivationState
    state_changed_at: datetime | None
    home: str | None
    roles: frozenset[RoleHeld]


@dataclass(frozen=True)
class Chapter:
    name: str | None
    parent: str | None
    closed: bool = False


@dataclass(frozen=True)
class World:
    """Everything the portal told of, by the portal's ids."""

    people: dict[str, Person]
    chapters: dict[str, Chapter]

    def person(self, name: str = "Kari") -> Person:
        return self.people[guid(name)]

    def chapter(self, name: str = "HLF Oslo") -> Chapter:
        return self.chapters[guid(name)]


def delivery(
    event: dict[str, Any],
    event_id: str,
    *,
    source: str = "portal",
    received_at: datetime = RECEIVED,
) -> Delivery:
    return read_delivery(source, event_id, received_at, body_of(event))


async def record(database: Database, event: dict[str, Any], event_id: str) -> Receipt:
    (receipt,) = await record_deliveries(database, [delivery(event, event_id)])
    return receipt


async def record_all(database: Database, *events: dict[str, Any]) -> list[Receipt]:
    """One transaction each, with event ids that grow."""
    return [await record(database, event, f"evt_{n:03}") for n, event in enumerate(events)]


async def entries(database: Database, filter: EntryFilter | None = None) -> Sequence[EntryRow]:
    """Newest first."""
    async with database.read() as session:
        page = await entry_page(session, EVERYTHING, filter or EntryFilter(), PageRequest(1000))
    return page.rows


async def entry(database: Database, event_id: str) -> EntryRow:
    (found,) = [entry for entry in await entries(database) if entry.event_id == event_id]
    return found


async def marks(url: str) -> dict[str, EntryMark]:
    """The marks of the entries that have one, by event id."""
    async with opened(url) as database, database.read() as session:
        rows = await session.all(
            select(SyncLogEntry.event_id, SyncLogEntry.mark).where(SyncLogEntry.mark.is_not(None))
        )
    return {event_id: mark for event_id, mark in rows if mark}


async def changes_of(database: Database) -> list[CommittedChange]:
    """What the feed tells, from the beginning."""
    async with database.read() as session:
        return await changes_after(session, Position(0), limit=1000)


def statuses_of(change: CommittedChange) -> tuple[SyncStatus | None, SyncStatus | None]:
    """Of its entry, before and after."""
    before, after = change.facts.entry_before, change.facts.entry_after
    return before.status if before else None, after.status if after else None


Rights = dict[str, frozenset[str]]
"""The members whom each person sees, by the portal's ids."""


async def rights_of(database: Database, people: Iterable[str], national_body: str) -> Rights:
    lookups = ViewerLookups(database, NationalBody(PortalId(national_body)))
    rights: Rights = {}
    async with database.read() as session:
        for id in people:
            viewer = await lookups.find_in(session, PortalId(id))
            assert viewer is not None
            page = await member_page(
                session, viewer.sight, MemberFilter(), MemberOrder(), PageRequest(100)
            )
            rights[id] = frozenset(row.portal_id for row in page.rows)
    return rights


async def world_of(database: Database) -> World:
    async with database.read() as session:
        chapters = await session.all(
            select(
                Organization.id,
                Organization.portal_id,
                Organization.name,
                Organization.parent_id,
                Organization.closed,
            )
        )
        people = await session.all(
            select(
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
            )
        )
        held = await session.all(
            select(
                RoleAssignment.member_id,
                Role.code,
                RoleAssignment.organization_id,
                RoleAssignment.since,
            ).join(Role, Role.id == RoleAssignment.role_id)
        )
    portal_ids: dict[int | None, str | None] = {None: None}
    portal_ids |= {row.id: row.portal_id for row in chapters}
    roles: dict[int, set[RoleHeld]] = {row.id: set() for row in people}
    for member_id, code, place, since in held:
        roles[member_id].add((code, portal_ids[place], since))
    return World(
        people={
            row.portal_id: Person(
                profile={
                    "memberNumber": row.member_number,
                    "givenName": row.given_name,
                    "familyName": row.family_name,
                    "email": row.email,
                    "phone": row.phone,
                },
                state=row.state,
                state_changed_at=row.state_changed_at,
                home=portal_ids[row.organization_id],
                roles=frozenset(roles[row.id]),
            )
            for row in people
        },
        chapters={
            row.portal_id: Chapter(row.name, portal_ids[row.parent_id], row.closed)
            for row in chapters
        },
    )
