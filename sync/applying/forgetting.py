"""Forgets persons, and refuses what was stated of them before.

A person is forgotten as of a time. What was stated up to then counts for nothing, and what was
stated since only from the first statement on that begins the person anew. That is the same in
whatever order the events come.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from db.driver.locks import member_lock
from db.publication import NewChange
from db.queries.log.entries import RecordedBody, entry_facts
from db.queries.log.traces import (
    HeldEntry,
    Traces,
    entries_about,
    facts_without_person,
    remove_traces,
    without_person,
)
from db.queries.members.forgotten_persons import (
    Tombstone,
    save_beginning,
    save_forgotten,
    tombstones,
)
from db.queries.members.member_records import MemberRecord
from db.queries.members.merges import merges_of
from db.sessions import WriteSession
from db.stamp import Stamp, stamped_at
from db.tables.facts import ChangeFacts
from db.tables.profile import PROFILE_FIELDS
from db.vocabulary import ActivationState, MemberId, PortalId, SyncOutcome, SyncStatus
from sync import remarks
from sync.applying.batch import Batch, ReceivedEvent, Result
from sync.applying.draft import ORGANIZATION, ROLES, STATE, facts_of
from sync.errors import RejectedError
from sync.events import RETENTION, Event, EventType
from sync.parsing.parser import parse_event

_BEGINNINGS = (EventType.MEMBERSHIP_CREATED, EventType.MEMBERSHIP_REACTIVATED)


def forgets(received: ReceivedEvent) -> bool:
    """Returns True if the event says that a person is to be forgotten."""
    return received.event.type is EventType.MEMBERSHIP_ERASED


def reread(body: RecordedBody) -> ReceivedEvent | None:
    """Returns the event about a member that was applied; None if it cannot be read any more."""
    try:
        event = parse_event(body.payload, max_roles=None)
    except RejectedError:
        # It was applied when the parser allowed more.
        return None
    if not isinstance(event, Event):
        return None
    return ReceivedEvent(body.source, body.event_id, body.received_at, event)


class Forgetting:
    """What a transaction forgets, before it applies anything else."""

    def __init__(
        self,
        session: WriteSession,
        batch: Batch,
        known: dict[PortalId, Tombstone],
        survivors: dict[PortalId, PortalId],
    ) -> None:
        self._session = session
        self._batch = batch
        self._tombstones = known
        self._survivors = survivors
        self._begun: dict[PortalId, None] = {}

    async def forget(self, received: ReceivedEvent) -> Result:
        """Removes all that is known of the person and was stated up to the time of the event."""
        event = received.event
        if not isinstance(event, Event):
            raise TypeError("This event is about nobody.")
        known = self._tombstones.get(event.member_id)
        if known is not None and known.as_of >= received.at:
            return _nothing_left(remarks.FORGOTTEN_BEFORE, SyncStatus.SUCCESS)
        id = self._survivors.get(event.member_id, event.member_id)
        return await self._forget({event.member_id, id}, received)

    async def _forget(self, ids: Collection[PortalId], received: ReceivedEvent) -> Result:
        session = self._session
        await session.lock([member_lock(id) for id in ids])
        merges = await merges_of(session, list(ids))
        ids = {*ids, *(id for merge in merges for id in merge[:2])}
        await session.lock([member_lock(id) for id in ids])
        self._tombstones.update(await self._tombstones_of(ids))
        record = next(
            (self._batch.members.pop(id) for id in ids if id in self._batch.members), None
        )
        member_id = None if record is None else record.id
        entries = await entries_about(session, member_id, ids)
        begun_at = None if record is None else _begun_at(record, entries, received.at)
        if begun_at is not None:
            entries = [entry for entry in entries if not _is_from(entry, begun_at)]
        await save_forgotten(
            session,
            ids,
            self._tombstones,
            as_of=received.at,
            begun_at=begun_at,
            by_retention=received.source == RETENTION,
            member_id=member_id,
            now=self._batch.now,
        )
        self._tombstones.update(await self._tombstones_of(ids))
        traces = Traces(ids, member_id, [entry.row.id for entry in entries])
        anew = begun_at is not None
        counts = await remove_traces(session, traces, self._batch.now, begun_anew=anew)
        for entry in entries:
            facts = ChangeFacts(
                entry_before=entry_facts(entry.row), entry_after=facts_without_person(entry.row)
            )
            session.append(NewChange(entry_id=entry.row.id, facts=facts))
        for id in ids:
            self._survivors.pop(id, None)
        result = _nothing_left(remarks.forgotten(_in_words(counts)), SyncStatus.SUCCESS)
        if record is None:
            return result
        result.outcome = SyncOutcome.DEACTIVATED
        if begun_at is None:
            self._tell_of_the_end(record, member_id)
        else:
            self._keep_what_was_begun(record, begun_at, result)
        return result

    async def _tombstones_of(self, ids: Collection[PortalId]) -> dict[PortalId, Tombstone]:
        return await self._session.find(tombstones(ids))

    def _tell_of_the_end(self, record: MemberRecord, member_id: MemberId | None) -> None:
        before = without_person(facts_of(record, self._batch.catalogue))
        facts = ChangeFacts(member_before=before, forgotten=True)
        self._session.append(NewChange(member_id=member_id, facts=facts))

    def _keep_what_was_begun(
        self, record: MemberRecord, begun_at: datetime, result: Result
    ) -> None:
        """Takes out of the member what was stated before the person began anew."""
        catalogue = self._batch.catalogue
        before = facts_of(record, catalogue)
        older = [part for part, stamp in record.as_of.items() if _is_before(stamp, begun_at)]
        record.as_of = {part: it for part, it in record.as_of.items() if part not in older}
        record.state_profile({part: None for part in older if part in PROFILE_FIELDS})
        if ORGANIZATION in older:
            record.organization_id = None
        if ROLES in older:
            record.roles, record.unlisted_roles = {}, None
        if STATE in older:
            record.state, record.state_changed_at = ActivationState.ACTIVE, None
        record.index()
        record.updated_at = self._batch.now
        self._batch.members[record.portal_id] = record
        self._batch.touched[record.portal_id] = None
        self._batch.with_late_statements[record.portal_id] = record
        result.outcome = SyncOutcome.UPDATED
        result.member, result.chapter_id = record, record.organization_id
        result.before = without_person(before)
        result.after = facts_of(record, catalogue)

    def refused(self, received: ReceivedEvent) -> Result | None:
        """Returns the result of an event that says nothing of anybody, since the person was
        forgotten; None for any other event, which is applied."""
        event = received.event
        if not isinstance(event, Event):
            return None
        for id in event.member_ids():
            tombstone = self._tombstones.get(id)
            if tombstone is None:
                continue
            if received.at <= tombstone.as_of:
                return _nothing_left(remarks.OLDER_THAN_FORGETTING, SyncStatus.SKIPPED)
            if _begins(event, tombstone):
                begun = tombstone.begun_at
                if begun is None or received.at < begun:
                    self._tombstones[id] = tombstone._replace(begun_at=received.at)
                    self._begun[id] = None
            elif tombstone.begun_at is None or received.at < tombstone.begun_at:
                return _nothing_left(remarks.NOT_BEGUN_ANEW, SyncStatus.SKIPPED)
        return None

    async def save(self) -> None:
        """Saves which persons were begun anew."""
        self._session.require_locked([member_lock(id) for id in self._begun])
        for id in self._begun:
            await save_beginning(self._session, self._tombstones[id])


def _begins(event: Event, tombstone: Tombstone) -> bool:
    if event.type in _BEGINNINGS:
        return True
    # Whoever was only forgotten because of a membership that had ended comes back with it.
    stated = event.type is EventType.MEMBERSHIP_STATED
    return tombstone.by_retention and stated and event.state is ActivationState.ACTIVE


def _begun_at(
    record: MemberRecord, entries: Sequence[HeldEntry], as_of: datetime
) -> datetime | None:
    """Returns when the person began anew, after being forgotten as of this time."""
    if not any(not _is_before(stamp, as_of) for stamp in record.as_of.values()):
        return None
    events = [event for entry in entries if (event := _applied(entry)) is not None]
    later = [
        received.at
        for received in events
        if received.at > as_of and received.event.type in _BEGINNINGS
    ]
    return min(later, default=None)


def _applied(entry: HeldEntry) -> ReceivedEvent | None:
    row = entry.row
    if row.processed_at is None or row.member_id is None:
        return None
    return reread(RecordedBody(row.source, row.event_id, row.received_at, entry.payload))


def _is_from(entry: HeldEntry, begun_at: datetime) -> bool:
    """Returns True for an entry of the person who was begun anew."""
    received = _applied(entry)
    return received is not None and received.at >= begun_at


def _is_before(stamp: Stamp, time: datetime) -> bool:
    return stamped_at(stamp) < time


def _nothing_left(detail: str, status: SyncStatus) -> Result:
    skipped = status is SyncStatus.SKIPPED
    outcome = SyncOutcome.STALE if skipped else SyncOutcome.UNCHANGED
    return Result(status, outcome, detail, keeps_body=False)


def _in_words(counts: dict[str, int]) -> str:
    return ", ".join(f"{table} {count}" for table, count in sorted(counts.items())) or "0"
