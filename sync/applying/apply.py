"""Applies a set of events within a transaction: changes what was read in memory, and saves it once.

The number of statements does not depend on the number of events.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import msgspec

from db.driver.locks import member_lock, organization_lock, tree_lock
from db.publication import NewChange
from db.queries.chapters.organizations import (
    advance_organizations,
    organization_ids,
    save_organizations,
)
from db.queries.chapters.roles import roles_by_code
from db.queries.log.entries import EventKey, applied_bodies
from db.queries.members.member_records import MemberRecord, save_members
from db.queries.members.merges import StatedMerge, merges_of, rename, save_merges, take_over
from db.sessions import WriteSession
from db.tables.facts import ChangeFacts
from db.vocabulary import PortalId, SyncOutcome, SyncStatus
from sync import remarks
from sync.applying.batch import Batch, ReceivedEvent, Result
from sync.applying.draft import facts_of
from sync.applying.forgetting import Forgetting, forgets, reread
from sync.applying.history import DatedStatement, dated_statement, home_at, restate_times
from sync.applying.merging import join, survivor_of, with_merge
from sync.applying.reading import Reading
from sync.applying.tree import settle_tree
from sync.events import Event


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
    batch = Batch(members, catalogue, now)
    results: dict[int, Result] = {}
    # The oldest is applied first, so that as few events as possible are stale.
    oldest_first = sorted(range(len(events)), key=lambda index: events[index].stamp)
    survivors = dict(known.survivors)
    forgetting = Forgetting(session, batch, dict(known.forgotten), survivors)
    for index in oldest_first:
        if forgets(events[index]):
            results[index] = await forgetting.forget(events[index])
    for index in oldest_first:
        if index not in results and (refused := forgetting.refused(events[index])):
            results[index] = refused
    await forgetting.save()
    settled = set(results)
    merging = Merging(session, batch, survivors)
    for index in oldest_first:
        if index not in settled and _merges(events[index]):
            results[index] = await merging.apply(events[index])
    events = [
        received if index in settled else merging.of_survivor(received)
        for index, received in enumerate(events)
    ]
    unrecorded = [merging.of_survivor(received) for received in unrecorded]
    for index in oldest_first:
        if index not in results:
            results[index] = batch.apply(events[index])
    applied = [event for index, event in enumerate(events) if results[index].member is not None]
    await _look_back(session, batch, [*unrecorded, *applied])
    await _save_chapters(session, batch)
    await save_members(session, [members[portal_id] for portal_id in batch.touched], known.new_ids)
    await merging.save()
    for gone in batch.gone:
        if gone.id is not None:
            facts = ChangeFacts(member_before=facts_of(gone, catalogue))
            session.append(NewChange(member_id=gone.id, facts=facts))
    for result in results.values():
        if result.member is not None:
            # Each event has its own copy of the member, and only the last one was saved.
            result.member.id = members[merging.survivor(result.member.portal_id)].id
    return [results[index] for index in range(len(events))]


def _merges(received: ReceivedEvent) -> bool:
    return isinstance(received.event, Event) and received.event.merged_id is not None


class Merging:
    """The merges of a transaction. They come before everything else that is applied, so that all
    that is stated of an id is stated of the person."""

    def __init__(
        self, session: WriteSession, batch: Batch, survivors: dict[PortalId, PortalId]
    ) -> None:
        self._session = session
        self._batch = batch
        self._survivors = survivors
        self._merges: dict[PortalId, list[StatedMerge]] = {}

    def of_survivor(self, received: ReceivedEvent) -> ReceivedEvent:
        """Returns the event as one about the member that the person is now."""
        event = received.event
        if not isinstance(event, Event):
            return received
        id = self.survivor(event.member_id)
        if id == event.member_id:
            return received
        return replace(received, event=msgspec.structs.replace(event, member_id=id))

    def survivor(self, id: PortalId) -> PortalId:
        """Returns the id under which the person lives on."""
        return self._survivors.get(id, id)

    async def apply(self, received: ReceivedEvent) -> Result:
        event = received.event
        if not isinstance(event, Event) or event.merged_id is None:
            raise TypeError("This event merges nobody.")
        stated = StatedMerge(event.merged_id, event.member_id, received.stamp)
        known = [self.survivor(id) for id in (event.member_id, event.merged_id)]
        if event.only_if_known and not any(id in self._batch.members for id in known):
            return Result(SyncStatus.SKIPPED, SyncOutcome.IGNORED, remarks.NOBODY_KNOWN)
        self._session.require_locked([member_lock(id) for id in known])
        merges = await self._merges_of(known)
        merges = with_merge(merges, stated)
        survivor, refused = survivor_of(merges)
        await self._session.lock([member_lock(survivor)])
        before, gone = await self._one_member(known, survivor)
        for id in {id for merge in merges for id in merge[:2]}:
            self._survivors[id] = survivor
            self._merges.pop(id, None)
        self._merges[survivor] = merges
        remark = remarks.MERGE_REFUSED if stated in refused else None
        if known[0] != known[1]:
            remark = remarks.merged(event.merged_id)
        return self._batch.apply_merge(self.of_survivor(received), before, gone, remark)

    async def _merges_of(self, ids: Sequence[PortalId]) -> list[StatedMerge]:
        found: list[StatedMerge] = []
        unread = [id for id in ids if id not in self._merges]
        if unread:
            found += await merges_of(self._session, unread)
        for id in set(ids) & self._merges.keys():
            found += self._merges[id]
        return list(dict.fromkeys(found))

    async def _one_member(
        self, ids: Sequence[PortalId], survivor: PortalId
    ) -> tuple[MemberRecord | None, MemberRecord | None]:
        """Leaves one record of these members, under the id that lives on; returns it as it was,
        and the one that is gone."""
        members = self._batch.members
        records = [members.pop(id) for id in dict.fromkeys(ids) if id in members]
        for id in ids:
            self._batch.forget(id, survivor)
        if not records:
            return None, None
        # One that is saved already, and if both are, the one that lives on.
        records.sort(key=lambda one: (one.id is None, one.portal_id != survivor))
        kept = records[0]
        gone = next((one for one in records if one is not kept), None)
        before = kept.copy()
        if gone is not None:
            join(kept, gone)
            if gone.id is not None and kept.id is not None:
                await take_over(self._session, kept.id, gone.id)
        if kept.portal_id != survivor and kept.id is not None:
            await rename(self._session, kept.id, survivor)
        kept.portal_id = survivor
        members[survivor] = kept
        return before, gone

    async def save(self) -> None:
        for survivor, merges in self._merges.items():
            person = self._batch.members[survivor].id
            if person is None:
                raise ValueError("The person was not saved.")
            await save_merges(self._session, person, merges)


async def _look_back(session: WriteSession, batch: Batch, unsaved: Sequence[ReceivedEvent]) -> None:
    """Answers what late events leave open from all that was ever stated: since when something
    holds, and where the member belonged then."""
    late = batch.with_late_statements.keys() | batch.earlier_homes.keys()
    # Their recorded events are read later than they were, so nobody may add to these in between.
    session.require_locked([member_lock(id) for id in late])
    for id in late:
        own = [
            received
            for received in unsaved
            if isinstance(received.event, Event) and received.event.member_id == id
        ]
        statements = await _statements(session, batch.members[id], own)
        if id in batch.with_late_statements:
            restate_times(batch.with_late_statements[id], statements)
        for received, result in batch.earlier_homes.get(id, ()):
            result.chapter_id = home_at(received.stamp, statements)


async def _save_chapters(session: WriteSession, batch: Batch) -> None:
    changed = [batch.chapters[id] for id in batch.changed_chapters]
    confirmed = [each for id, each in batch.chapters.items() if id not in batch.changed_chapters]
    session.require_locked([organization_lock(id) for id in batch.changed_chapters])
    if batch.tree_touched:
        session.require_locked([tree_lock()])
    await advance_organizations(session, confirmed)
    await save_organizations(session, changed)
    if not batch.tree_touched:
        return
    in_cycle, tree_changed = await settle_tree(session)
    for chapter, result in batch.moves:
        if chapter in in_cycle:
            result.remark(remarks.CYCLE)
    if tree_changed:
        session.append(NewChange(access_changed=True))


async def _statements(
    session: WriteSession, member: MemberRecord, unsaved: Sequence[ReceivedEvent]
) -> list[DatedStatement]:
    """Returns all statements about the member: of recorded events and of those being applied."""
    statements: dict[EventKey, DatedStatement] = {}
    if member.id is not None:
        async for bodies in applied_bodies(session, member.id):
            recorded = [event for body in bodies if (event := reread(body)) is not None]
            statements |= await _dated(session, recorded)
    statements |= await _dated(session, unsaved)
    return list(statements.values())


async def _dated(
    session: WriteSession, events: Sequence[ReceivedEvent]
) -> dict[EventKey, DatedStatement]:
    stated = [(each, each.event) for each in events if isinstance(each.event, Event)]
    chapters = organization_ids({id for _, event in stated for id in event.organization_ids()})
    roles = roles_by_code({role.code for _, event in stated for role in event.roles or ()})
    await session.fetch(chapters, roles)
    role_ids = {role.code: role.id for role in roles.found}
    return {
        (each.source, each.event_id): dated_statement(
            event, each.stamp, each.at, role_ids, chapters.found
        )
        for each, event in stated
    }
