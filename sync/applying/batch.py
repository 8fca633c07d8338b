"""Applies the events of one transaction in memory, one after the other, the oldest first."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

from db.queries.chapters.organizations import OrganizationRecord
from db.queries.members.member_records import MemberHome, MemberRecord
from db.stamp import NEVER, Stamp, make_stamp, stamped_at
from db.tables.facts import FieldChange, MemberFacts
from db.tables.profile import PROFILE_FIELDS
from db.vocabulary import (
    AccessLevel,
    ActivationState,
    EntryMark,
    MemberId,
    OrganizationId,
    PortalId,
    SyncOutcome,
    SyncStatus,
)
from sync import remarks
from sync.applying.draft import (
    ORGANIZATION,
    PARENT,
    ROLES,
    STATE,
    Catalogue,
    ChapterDraft,
    Draft,
    chapter_changes,
    draft_of,
    facts_of,
    field_changes,
    outcome_of,
)
from sync.applying.handlers import HANDLERS, organization_updated
from sync.events import AnyEvent, ChapterEvent, Event

logger = logging.getLogger(__name__)

CLOCK_TOLERANCE = timedelta(minutes=5)
OLDEST_TIME = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ReceivedEvent:
    """An event with its source, its id and the time of its first delivery. `applied_before` is True
    if it was applied before and is applied again, as by a replay."""

    source: str
    event_id: str
    received_at: datetime
    event: AnyEvent
    applied_before: bool = False

    @cached_property
    def at(self) -> datetime:
        """The time of the event. One that cannot be right counts as the time of receipt: otherwise
        a wrong clock in the portal would win over all later events, or lose against all."""
        return self.received_at if self.is_ahead or self.is_too_old else self.event.occurred_at

    @property
    def is_ahead(self) -> bool:
        if isinstance(self.event, Event) and self.event.read_here:
            # Perhaps long after the message that asked for it, but by our own clock.
            return False
        return self.event.occurred_at > self.received_at + CLOCK_TOLERANCE

    @property
    def is_too_old(self) -> bool:
        return self.event.occurred_at < OLDEST_TIME

    @cached_property
    def stamp(self) -> Stamp:
        event = self.event
        return make_stamp(
            self.at,
            sequence=event.sequence,
            deactivation=isinstance(event, Event) and event.state is ActivationState.INACTIVE,
            event_id=self.event_id,
            source=self.source,
        )


@dataclass(slots=True)
class Result:
    """The result of one event.

    `member` is set if the event was applied to one. `chapter_id` is where it happened: the home of
    the member right after the event's own statement, or the chapter that it is about. `home` tells
    whom a failed event is about, if known. `gone` is the member whom a merge has made part of
    `member`, if it was in the database. `before` and `after` are set only if the member has
    changed. `beaten_at` is the time of what a stale event is older than. `keeps_body` is False if
    nothing of the event may be kept.
    """

    status: SyncStatus
    outcome: SyncOutcome | None = None
    detail: str | None = None
    member: MemberRecord | None = None
    chapter_id: OrganizationId | None = None
    home: MemberHome | None = None
    gone: MemberId | None = None
    beaten_at: datetime | None = None
    mark: EntryMark | None = None
    field_changes: list[FieldChange] = field(default_factory=list)
    before: MemberFacts | None = None
    after: MemberFacts | None = None
    keeps_body: bool = True

    def remark(self, text: str) -> None:
        """Adds a sentence to the detail."""
        self.detail = f"{self.detail} {text}" if self.detail else text


@dataclass(slots=True)
class Batch:
    """The events of one transaction.

    `touched` are the members to be saved, `with_late_statements` those for whom something older
    than the known roles or state was stated. `chapters` are those of which something was stated,
    `earlier_homes` are the events that are older than the known home of their member.
    `changed_chapters` the ones of which something is not as it was. `moves` are the events that
    stated another parent, with the chapter; `tree_touched` says that what counts must be settled.
    """

    members: dict[PortalId, MemberRecord]
    catalogue: Catalogue
    now: datetime
    touched: dict[PortalId, None] = field(default_factory=dict)
    with_late_statements: dict[PortalId, MemberRecord] = field(default_factory=dict)
    chapters: dict[PortalId, OrganizationRecord] = field(default_factory=dict)
    changed_chapters: set[PortalId] = field(default_factory=set)
    earlier_homes: dict[PortalId, list[tuple[ReceivedEvent, Result]]] = field(default_factory=dict)
    moves: list[tuple[OrganizationId, Result]] = field(default_factory=list)
    tree_touched: bool = False
    gone: list[MemberRecord] = field(default_factory=list)

    def apply(self, received: ReceivedEvent) -> Result:
        """Returns the result of the event. A handler that fails affects only its own event."""
        event = received.event
        if isinstance(event, ChapterEvent):
            return self._apply_to_chapter(received, event)
        before = self.members.get(event.member_id)
        if before is None and event.only_if_known:
            detail = " ".join([remarks.NOBODY_KNOWN, *event.remarks])
            return Result(SyncStatus.SKIPPED, SyncOutcome.IGNORED, detail)
        draft = draft_of(before, event.member_id, received.stamp, received.at, self.catalogue)
        try:
            HANDLERS[event.type](event, draft)
        except Exception as error:
            return _failed(event, error, _home(before))
        return self._accept(received, before, draft)

    def forget(self, id: PortalId, survivor: PortalId) -> None:
        """Lets what was to be done for a member be done for the one that lives on."""
        self.touched.pop(id, None)
        self.with_late_statements.pop(id, None)
        if id != survivor and id in self.earlier_homes:
            self.earlier_homes.setdefault(survivor, []).extend(self.earlier_homes.pop(id))

    def apply_merge(
        self,
        received: ReceivedEvent,
        before: MemberRecord | None,
        gone: MemberRecord | None,
        remark: str | None,
    ) -> Result:
        """Does the same for an event that two ids are of one person. `before` is the member whose
        record is kept, `gone` the one whose parts it has got."""
        event = received.event
        if not isinstance(event, Event):
            raise TypeError("This event merges nobody.")
        known = self.members.get(event.member_id)
        draft = draft_of(known, event.member_id, received.stamp, received.at, self.catalogue)
        HANDLERS[event.type](event, draft)
        result = self._accept(received, before, draft)
        if remark is not None:
            result.remark(remark)
        if result.outcome is SyncOutcome.STALE:
            result.status, result.outcome = SyncStatus.SUCCESS, SyncOutcome.UNCHANGED
            result.beaten_at = None
        if gone is not None:
            result.outcome = SyncOutcome.UPDATED
            self.gone.append(gone)
            result.gone = gone.id
        member = self.members[event.member_id]
        member.index()
        member.updated_at = member.updated_at or self.now
        self.touched[member.portal_id] = None
        self.with_late_statements[member.portal_id] = member
        return result

    def _apply_to_chapter(self, received: ReceivedEvent, event: ChapterEvent) -> Result:
        draft = ChapterDraft(stamp=received.stamp, at=received.at, catalogue=self.catalogue)
        try:
            organization_updated(event, draft)
        except Exception as error:
            return _failed(event, error, None)
        changes = chapter_changes(draft, first=True)
        stale = bool(draft.older_of_chapters) and not draft.stated
        outcome = SyncOutcome.UPDATED if changes else SyncOutcome.UNCHANGED
        result = Result(
            status=SyncStatus.SKIPPED if stale else SyncStatus.SUCCESS,
            outcome=SyncOutcome.STALE if stale else outcome,
            detail=" ".join(_remarks(received, draft)) or None,
            chapter_id=draft.organization(event.organization.id).id,
            beaten_at=_latest(draft.older_of_chapters.values()) if stale else None,
            mark=EntryMark.TIED if draft.tied else None,
            field_changes=changes,
        )
        self._keep_chapters(draft, result)
        return result

    def _accept(self, received: ReceivedEvent, before: MemberRecord | None, draft: Draft) -> Result:
        member = draft.member
        for_chapters = chapter_changes(draft, first=False)
        result = Result(SyncStatus.SUCCESS, member=member)
        # First, so that the field changes use the names of chapters that the event itself states.
        self._keep_chapters(draft, result)
        changes = field_changes(before, member, self.catalogue)
        result.field_changes = [*changes, *for_chapters]
        result.status, result.outcome = outcome_of(before, draft, result.field_changes)
        result.detail = " ".join(_remarks(received, draft)) or None
        if before is not None and (gained := self._gained_sight(before, member)):
            result.remark(gained)
        if result.outcome is SyncOutcome.STALE:
            result.beaten_at = _latest(draft.older.values())
        if draft.tied:
            result.mark = EntryMark.TIED
        result.chapter_id = member.organization_id
        if not received.applied_before and received.stamp < member.as_of.get(ORGANIZATION, NEVER):
            self.earlier_homes.setdefault(member.portal_id, []).append((received, result))
        if changes:
            member.updated_at = self.now
            member.index()
            result.before = facts_of(before, self.catalogue) if before else None
            result.after = facts_of(member, self.catalogue)
        self._keep_member(draft, is_new=before is None)
        return result

    def _gained_sight(self, before: MemberRecord, member: MemberRecord) -> str | None:
        """Returns a remark on a move that lets somebody see another chapter's members."""
        home = member.organization_id
        if home is None or home == before.organization_id:
            return None
        held = [self.catalogue.roles_by_id[role] for role, where in member.roles if where is None]
        codes = sorted(r.code for r in held if r.access_level >= AccessLevel.COORDINATOR)
        if not codes or member.state is not ActivationState.ACTIVE:
            return None
        return remarks.gained_sight(codes, self.catalogue.label(home) or "")

    def _keep_member(self, draft: Draft, *, is_new: bool) -> None:
        member = draft.member
        self.members[member.portal_id] = member
        late = not draft.older.keys().isdisjoint({ROLES, STATE})
        if draft.written or is_new or late:
            self.touched[member.portal_id] = None
        if late or member.portal_id in self.with_late_statements:
            self.with_late_statements[member.portal_id] = member

    def _keep_chapters(self, draft: ChapterDraft, result: Result) -> None:
        for portal_id in {chapter for chapter, _ in draft.stated}:
            known, chapter = self.catalogue.organizations[portal_id], draft.organizations[portal_id]
            moved = chapter.stated_parent_id != known.stated_parent_id
            # Within a cycle, the newest statement is the one that does not count.
            replaced = known.in_cycle and (portal_id, PARENT) in draft.stated
            if moved:
                self.moves.append((chapter.id, result))
            self.tree_touched |= moved or replaced
            if moved or replaced or _differ(chapter, known):
                self.changed_chapters.add(portal_id)
            self.chapters[portal_id] = chapter
            self.catalogue.organizations[portal_id] = chapter
            self.catalogue.organization_labels[chapter.id] = chapter.label()


def _differ(one: OrganizationRecord, other: OrganizationRecord) -> bool:
    return one.name != other.name or one.closed is not other.closed


def _failed(event: AnyEvent, error: Exception, home: MemberHome | None) -> Result:
    # Whatever is wrong with this event, the others of the batch are applied.
    logger.error("The handler of %s failed.", event.type, exc_info=error)
    detail = remarks.handler_failed(type(error).__name__)
    return Result(SyncStatus.FAILED, detail=detail, home=home)


def _home(member: MemberRecord | None) -> MemberHome | None:
    if member is None or member.id is None:
        return None
    return MemberHome(member.id, member.organization_id)


def _latest(stamps: Iterable[Stamp]) -> datetime:
    return max(stamped_at(stamp) for stamp in stamps)


def _remarks(received: ReceivedEvent, draft: ChapterDraft) -> Iterator[str]:
    event = received.event
    stated = event.occurred_at.isoformat()
    if received.is_ahead:
        yield remarks.time_ahead(stated)
    if received.is_too_old:
        yield remarks.time_too_old(stated)
    yield from event.remarks
    yield from draft.remarks
    if draft.tied:
        yield remarks.tied([PROFILE_FIELDS.get(part, part) for part in draft.tied])
    if isinstance(event, Event) and event.reason:
        yield remarks.reason_given(event.reason)
