"""Applies a set of events within a transaction: everything is loaded once, changed in memory, and
saved once, however many events there are."""

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from db.driver.locks import LockName, member_lock, organization_lock
from db.driver.round_trips import Query
from db.publication import NewChange
from db.queries.entries import RecordedBody, applied_bodies
from db.queries.member_records import (
    MemberRecord,
    member_records,
    new_member_ids,
    save_members,
    saved_roles,
)
from db.queries.organizations import (
    OrganizationRecord,
    advance_organizations,
    insert_stubs,
    organization_ids,
    organization_records,
    organizations_of_members,
    save_organizations,
)
from db.queries.roles import insert_roles, whole_catalogue
from db.sessions import WriteSession
from db.stamp import Stamp, make_stamp
from db.tables.facts import FieldChange, MemberFacts
from db.vocabulary import PortalId, SyncOutcome, SyncStatus
from sync.dispatch import HANDLERS
from sync.draft import (
    ROLES,
    STATE,
    Catalogue,
    Draft,
    draft_of,
    facts_of,
    field_changes,
    outcome_of,
)
from sync.events import Event, EventType, parse_event
from sync.history import Statement, restate_times, statement_of

logger = logging.getLogger(__name__)

CLOCK_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True)
class ReceivedEvent:
    source: str
    event_id: str
    received_at: datetime
    event: Event

    @cached_property
    def at(self) -> datetime:
        """When it happened. A time too far ahead counts as the time of receipt: otherwise a wrong
        clock in the portal would win over everything that is yet to come."""
        stated = self.event.occurred_at
        ahead = stated > self.received_at + CLOCK_TOLERANCE
        return self.received_at if ahead else stated

    @cached_property
    def stamp(self) -> Stamp:
        return make_stamp(
            self.at,
            deactivation=self.event.type is EventType.MEMBERSHIP_DEACTIVATED,
            event_id=self.event_id,
            source=self.source,
        )


@dataclass(slots=True)
class Result:
    """What became of one event. `member` is None when its handler failed; there are facts only if
    something about the member has changed."""

    status: SyncStatus
    outcome: SyncOutcome | None = None
    detail: str | None = None
    member: MemberRecord | None = None
    field_changes: list[FieldChange] = field(default_factory=list)
    before: MemberFacts | None = None
    after: MemberFacts | None = None


class Reading:
    """The queries for what some events touch, to be made together with others."""

    def __init__(self, events: Collection[Event]) -> None:
        members = {event.member_id for event in events}
        self.organizations = organization_records(_mentioned(events))
        self.roles = whole_catalogue()
        self.members = member_records(members)
        self.saved_roles = saved_roles(members)
        self.places = organizations_of_members(members)
        self.new_ids = new_member_ids(len(members))

    def queries(self) -> tuple[Query[Any], ...]:
        return (
            self.organizations,
            self.roles,
            self.members,
            self.saved_roles,
            self.places,
            self.new_ids,
        )


def member_locks(events: Collection[Event]) -> set[LockName]:
    return {member_lock(event.member_id) for event in events}


def organization_locks(events: Collection[Event]) -> set[LockName]:
    """They may be shared, as long as no chapter is created, renamed or moved: most events state
    what is known of a chapter already."""
    return {organization_lock(id) for id in _mentioned(events)}


def locks_for(events: Collection[Event]) -> set[LockName]:
    """What nobody else may write while the events are applied."""
    return member_locks(events) | organization_locks(events)


def _mentioned(events: Collection[Event]) -> set[PortalId]:
    return {id for event in events for id in event.organization_ids()}


async def apply_events(
    session: WriteSession,
    events: Sequence[ReceivedEvent],
    now: datetime,
    *,
    reading: Reading | None = None,
    unrecorded: Sequence[ReceivedEvent] = (),
) -> list[Result]:
    """One result per event. A handler that fails spoils only its own event.

    `reading`: of these events or more, fetched under their locks, if that was done already.
    `unrecorded`: what was applied earlier in this transaction and is not in the log yet.

    ConcurrentWriteError, raised when everything is sent, means that another process created the
    same rows first. SharedLockError means that a chapter changes whose lock is shared.
    """
    if reading is None:
        told = [received.event for received in events]
        reading = Reading(told)
        await session.lock(locks_for(told))
        await session.fetch(*reading.queries())
    members, new_ids, catalogue = await _load(session, events, reading)
    batch = _Batch(members, catalogue, now)
    results: dict[int, Result] = {}
    # Oldest first, so that as little as possible is found to be stale.
    for index in sorted(range(len(events)), key=lambda index: events[index].stamp):
        results[index] = batch.apply(events[index])
    applied = [event for index, event in enumerate(events) if results[index].member is not None]
    # What else was stated of them is read after they were: nobody may add to it in between.
    session.require_locked([member_lock(member) for member in batch.late])
    in_hand = [*unrecorded, *applied]
    for member in batch.late.values():
        mine = [event for event in in_hand if event.event.member_id == member.portal_id]
        restate_times(member, await _statements(session, member, mine, catalogue))
    restated = [known for id, known in batch.organizations.items() if id not in batch.changed]
    changed = [batch.organizations[id] for id in batch.changed]
    session.require_locked([organization_lock(id) for id in batch.changed])
    await advance_organizations(session, restated)
    await save_organizations(session, changed)
    await save_members(session, [members[portal_id] for portal_id in batch.touched], new_ids)
    for result in results.values():
        if result.member is not None:
            # Each event has its own copy of the member; the last one was saved.
            result.member.id = members[result.member.portal_id].id
    if batch.tree_changed:
        session.append(NewChange(access_changed=True))
    return [results[index] for index in range(len(events))]


@dataclass(slots=True)
class _Batch:
    members: dict[PortalId, MemberRecord]
    catalogue: Catalogue
    now: datetime
    touched: dict[PortalId, None] = field(default_factory=dict)
    late: dict[PortalId, MemberRecord] = field(default_factory=dict)
    organizations: dict[PortalId, OrganizationRecord] = field(default_factory=dict)
    """Those of which something was stated, and which of them it changed."""
    changed: set[PortalId] = field(default_factory=set)
    tree_changed: bool = False

    def apply(self, received: ReceivedEvent) -> Result:
        event = received.event
        before = self.members.get(event.member_id)
        draft = draft_of(before, event.member_id, received.stamp, received.at, self.catalogue)
        try:
            HANDLERS[event.type](event, draft)
        except Exception as error:
            # Whatever is wrong with this event, its neighbours must not suffer for it.
            logger.exception("The handler of %s failed.", event.type, exc_info=error)
            return Result(SyncStatus.FAILED, detail=f"The handler failed: {type(error).__name__}.")
        return self._accept(received, before, draft)

    def _accept(self, received: ReceivedEvent, before: MemberRecord | None, draft: Draft) -> Result:
        member = draft.member
        # First, so that what changed is told with the names that the event itself brings.
        self._keep_organizations(draft)
        changes = field_changes(before, member, self.catalogue)
        status, outcome = outcome_of(before, draft, changes)
        old_facts = new_facts = None
        if changes:
            member.updated_at = self.now
            member.index()
            old_facts = facts_of(before, self.catalogue) if before else None
            new_facts = facts_of(member, self.catalogue)
        self._keep_member(draft, is_new=before is None)
        return Result(
            status=status,
            outcome=outcome,
            detail=" ".join(_remarks(received, draft)) or None,
            member=member,
            field_changes=changes,
            before=old_facts,
            after=new_facts,
        )

    def _keep_member(self, draft: Draft, *, is_new: bool) -> None:
        member = draft.member
        self.members[member.portal_id] = member
        late = not draft.older.isdisjoint({ROLES, STATE})
        if draft.written or is_new or late:
            self.touched[member.portal_id] = None
        if late or member.portal_id in self.late:
            self.late[member.portal_id] = member

    def _keep_organizations(self, draft: Draft) -> None:
        for portal_id, organization in draft.organizations.items():
            known = self.catalogue.organizations[portal_id]
            if organization.as_of != known.as_of:
                moved = organization.parent_id != known.parent_id
                self.tree_changed |= moved
                if moved or organization.name != known.name:
                    self.changed.add(portal_id)
                self.organizations[portal_id] = organization
                self.catalogue.organizations[portal_id] = organization
                self.catalogue.organization_labels[organization.id] = organization.label()


def _remarks(received: ReceivedEvent, draft: Draft) -> Iterable[str]:
    if received.at != received.event.occurred_at:
        yield (
            f"The event's time, {received.event.occurred_at.isoformat()}, was more than five "
            "minutes ahead; the time of receipt counts."
        )
    yield from draft.warnings
    if received.event.reason:
        yield f"Reason given: {received.event.reason}"


async def _load(
    session: WriteSession, events: Sequence[ReceivedEvent], reading: Reading
) -> tuple[dict[PortalId, MemberRecord], list[int], Catalogue]:
    """The members, ids for those that are new, and what the events refer to."""
    told = [received.event for received in events]
    organizations = reading.organizations.found
    unknown = sorted(_mentioned(told) - organizations.keys())
    session.require_locked([organization_lock(id) for id in unknown])
    for stub in await insert_stubs(session, unknown):
        organizations[stub.portal_id] = stub
    roles = {role.code: role for role in reading.roles.found}
    new_codes = frozenset(
        {role.code for event in told for role in event.roles or ()} - roles.keys()
    )
    roles |= {role.code: role for role in await insert_roles(session, new_codes)}
    labels = {place.id: place.name or place.portal_id for place in reading.places.found.values()}
    labels |= {organization.id: organization.label() for organization in organizations.values()}
    members = {record.portal_id: record for record in reading.members.found}
    held = reading.saved_roles.found
    for record in members.values():
        if record.id in held:
            record.load_roles(held[record.id])
    return members, reading.new_ids.found, Catalogue(organizations, roles, new_codes, labels)


async def _statements(
    session: WriteSession,
    member: MemberRecord,
    in_hand: Sequence[ReceivedEvent],
    catalogue: Catalogue,
) -> list[Statement]:
    """Everything ever stated of the member: what is recorded, and what is being applied."""
    recorded = await applied_bodies(session, [member.id]) if member.id is not None else []
    events = {(e.source, e.event_id): e for e in [*map(_reread, recorded), *in_hand] if e}
    mentioned = {id for received in events.values() for id in received.event.organization_ids()}
    ids = await organization_ids(session, mentioned)
    return [
        statement_of(received.event, received.stamp, received.at, catalogue, ids)
        for received in events.values()
    ]


def _reread(body: RecordedBody) -> ReceivedEvent | None:
    event = parse_event(body.payload, max_roles=None)
    if not isinstance(event, Event):
        return None
    return ReceivedEvent(body.source, body.event_id, body.received_at, event)
