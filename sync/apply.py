"""Applies a set of events within a transaction: changes what was read in memory, and saves it once.

The number of statements does not depend on the number of events.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

from db.driver.locks import member_lock, organization_lock
from db.publication import NewChange
from db.queries.entries import EventKey, RecordedBody, applied_bodies
from db.queries.member_records import MemberHome, MemberRecord, save_members
from db.queries.organizations import (
    OrganizationRecord,
    advance_organizations,
    organization_ids,
    save_organizations,
)
from db.queries.roles import roles_by_code
from db.sessions import WriteSession
from db.stamp import Stamp, make_stamp, stamped_at
from db.tables.facts import FieldChange, MemberFacts
from db.tables.profile import PROFILE_FIELDS
from db.vocabulary import ActivationState, EntryMark, PortalId, SyncOutcome, SyncStatus
from sync import remarks
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
from sync.errors import RejectedError
from sync.events import Event
from sync.handlers import HANDLERS
from sync.history import DatedStatement, dated_statement, restate_times
from sync.parsing.parser import parse_event
from sync.reading import Reading

logger = logging.getLogger(__name__)

CLOCK_TOLERANCE = timedelta(minutes=5)
OLDEST_TIME = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ReceivedEvent:
    """An event with its source, its id and the time of its first delivery."""

    source: str
    event_id: str
    received_at: datetime
    event: Event

    @cached_property
    def at(self) -> datetime:
        """The time of the event. One that cannot be right counts as the time of receipt: otherwise
        a wrong clock in the portal would win over all later events, or lose against all."""
        return self.received_at if self.is_ahead or self.is_too_old else self.event.occurred_at

    @property
    def is_ahead(self) -> bool:
        return self.event.occurred_at > self.received_at + CLOCK_TOLERANCE

    @property
    def is_too_old(self) -> bool:
        return self.event.occurred_at < OLDEST_TIME

    @cached_property
    def stamp(self) -> Stamp:
        return make_stamp(
            self.at,
            sequence=self.event.sequence,
            deactivation=self.event.state is ActivationState.INACTIVE,
            event_id=self.event_id,
            source=self.source,
        )


@dataclass(slots=True)
class Result:
    """The result of one event. `member` is None if the event failed; then `home` tells who it is
    about, if known. `before` and `after` are set only if the member has changed. `beaten_at` is the
    time of what a stale event is older than."""

    status: SyncStatus
    outcome: SyncOutcome | None = None
    detail: str | None = None
    member: MemberRecord | None = None
    home: MemberHome | None = None
    beaten_at: datetime | None = None
    mark: EntryMark | None = None
    field_changes: list[FieldChange] = field(default_factory=list)
    before: MemberFacts | None = None
    after: MemberFacts | None = None


async def apply_events(
    session: WriteSession,
    events: Sequence[ReceivedEvent],
    now: datetime,
    reading: Reading,
    *,
    unrecorded: Sequence[ReceivedEvent] = (),
) -> list[Result]:
    """Returns one result for each event. A handler that fails affects only its own event.

    `reading` was fetched under the locks of these events, and perhaps of more. `unrecorded` are
    events that were applied earlier in this transaction and are not in the log yet.

    Raises SharedLockError if a chapter changes whose lock is shared. Once everything is sent,
    ConcurrentWriteError means that another process has created the same rows.
    """
    known = await reading.known(session, [received.event for received in events])
    members, catalogue = known.members, known.catalogue
    batch = _Batch(members, catalogue, now)
    results: dict[int, Result] = {}
    # The oldest is applied first, so that as few events as possible are stale.
    for index in sorted(range(len(events)), key=lambda index: events[index].stamp):
        results[index] = batch.apply(events[index])
    applied = [event for index, event in enumerate(events) if results[index].member is not None]
    # Their recorded events are read later than they were, so nobody may add to these in between.
    session.require_locked([member_lock(member) for member in batch.with_late_statements])
    unsaved = [*unrecorded, *applied]
    for member in batch.with_late_statements.values():
        own = [event for event in unsaved if event.event.member_id == member.portal_id]
        restate_times(member, await _statements(session, member, own))
    confirmed = [chapter for id, chapter in batch.organizations.items() if id not in batch.changed]
    changed = [batch.organizations[id] for id in batch.changed]
    session.require_locked([organization_lock(id) for id in batch.changed])
    await advance_organizations(session, confirmed)
    await save_organizations(session, changed)
    await save_members(session, [members[portal_id] for portal_id in batch.touched], known.new_ids)
    for result in results.values():
        if result.member is not None:
            # Each event has its own copy of the member, and only the last one was saved.
            result.member.id = members[result.member.portal_id].id
    if batch.tree_changed:
        session.append(NewChange(access_changed=True))
    return [results[index] for index in range(len(events))]


@dataclass(slots=True)
class _Batch:
    """The events of one transaction, applied one after the other in memory.

    `touched` are the members to be saved, `with_late_statements` those for whom something older
    than the known roles or state was stated. `organizations` are the chapters of which something
    was stated, `changed` those of them whose name or parent became another.
    """

    members: dict[PortalId, MemberRecord]
    catalogue: Catalogue
    now: datetime
    touched: dict[PortalId, None] = field(default_factory=dict)
    with_late_statements: dict[PortalId, MemberRecord] = field(default_factory=dict)
    organizations: dict[PortalId, OrganizationRecord] = field(default_factory=dict)
    changed: set[PortalId] = field(default_factory=set)
    tree_changed: bool = False

    def apply(self, received: ReceivedEvent) -> Result:
        event = received.event
        before = self.members.get(event.member_id)
        if before is None and event.only_if_known:
            detail = " ".join([remarks.NOBODY_KNOWN, *event.remarks])
            return Result(SyncStatus.SKIPPED, SyncOutcome.IGNORED, detail)
        draft = draft_of(before, event.member_id, received.stamp, received.at, self.catalogue)
        try:
            HANDLERS[event.type](event, draft)
        except Exception as error:
            # Whatever is wrong with this event, the others of the batch are applied.
            logger.exception("The handler of %s failed.", event.type, exc_info=error)
            detail = remarks.handler_failed(type(error).__name__)
            return Result(SyncStatus.FAILED, detail=detail, home=_home(before))
        return self._accept(received, before, draft)

    def _accept(self, received: ReceivedEvent, before: MemberRecord | None, draft: Draft) -> Result:
        member = draft.member
        # First, so that the field changes use the names of chapters that the event itself states.
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
            beaten_at=_beaten_at(draft) if outcome is SyncOutcome.STALE else None,
            mark=EntryMark.TIED if draft.tied else None,
            field_changes=changes,
            before=old_facts,
            after=new_facts,
        )

    def _keep_member(self, draft: Draft, *, is_new: bool) -> None:
        member = draft.member
        self.members[member.portal_id] = member
        late = not draft.older.keys().isdisjoint({ROLES, STATE})
        if draft.written or is_new or late:
            self.touched[member.portal_id] = None
        if late or member.portal_id in self.with_late_statements:
            self.with_late_statements[member.portal_id] = member

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
    stated = received.event.occurred_at.isoformat()
    if received.is_ahead:
        yield remarks.time_ahead(stated)
    if received.is_too_old:
        yield remarks.time_too_old(stated)
    yield from received.event.remarks
    yield from draft.remarks
    if draft.tied:
        yield remarks.tied([PROFILE_FIELDS.get(part, part) for part in draft.tied])
    if received.event.reason:
        yield remarks.reason_given(received.event.reason)


async def _statements(
    session: WriteSession, member: MemberRecord, unsaved: Sequence[ReceivedEvent]
) -> list[DatedStatement]:
    """Returns all statements about the member: of recorded events and of those being applied."""
    statements: dict[EventKey, DatedStatement] = {}
    if member.id is not None:
        async for bodies in applied_bodies(session, member.id):
            recorded = [event for body in bodies if (event := _reread(body)) is not None]
            statements |= await _dated(session, recorded)
    statements |= await _dated(session, unsaved)
    return list(statements.values())


async def _dated(
    session: WriteSession, events: Sequence[ReceivedEvent]
) -> dict[EventKey, DatedStatement]:
    chapters = organization_ids({id for e in events for id in e.event.organization_ids()})
    roles = roles_by_code({role.code for e in events for role in e.event.roles or ()})
    await session.fetch(chapters, roles)
    role_ids = {role.code: role.id for role in roles.found}
    return {
        (e.source, e.event_id): dated_statement(e.event, e.stamp, e.at, role_ids, chapters.found)
        for e in events
    }


def _beaten_at(draft: Draft) -> datetime:
    """Returns the latest time of what is known of the parts that the event states."""
    return max(stamped_at(known) for known in draft.older.values())


def _home(member: MemberRecord | None) -> MemberHome | None:
    if member is None or member.id is None:
        return None
    return MemberHome(member.id, member.organization_id)


def _reread(body: RecordedBody) -> ReceivedEvent | None:
    try:
        event = parse_event(body.payload, max_roles=None)
    except RejectedError:
        # It was applied when the parser allowed more.
        return None
    if not isinstance(event, Event):
        return None
    return ReceivedEvent(body.source, body.event_id, body.received_at, event)
