"""Projections of the change feed: which changes a stream shows, and how it shows them."""

from collections.abc import Awaitable, Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import msgspec

from db.database import Database
from db.feed.changes import Cursor
from db.publication import CommittedChange
from db.queries.chapters.organizations import subtree
from db.queries.log.entries import EntryFilter
from db.queries.members.member_pages import MemberFilter
from db.queries.members.viewers import Viewer
from db.queries.members.visibility import Sight
from db.tables.facts import EntryFacts, MemberFacts
from db.vocabulary import ChangeOperation, EntryId, MemberId, OrganizationId, Position
from resolvers.live.change_batch import ChangeBatch
from resolvers.live.stream_messages import ChangeMessage
from resolvers.members import MemberFields, MemberView
from resolvers.sync_log import EntryFields, EntryView

V = TypeVar("V")

NO_MEMBER = MemberId(0)
"""An id that no member has."""


class Projection(Protocol[V]):
    """Selects the changes that a stream shows and loads what they are about.

    Equal projections show the same, whoever subscribes with them.
    """

    @property
    def only_member(self) -> MemberId | None:
        """The one member whose changes can be shown; None when any member's can."""

    @property
    def survives_access_changes(self) -> bool:
        """True for a stream that reports changes of access instead of ending with them."""

    @property
    def place(self) -> "Place | None":
        """The part of the association the stream is restricted to."""

    def operation(self, change: CommittedChange) -> tuple[int, ChangeOperation] | None:
        """Returns the id of the row that changed and what happened to it; None for a hidden
        change."""

    async def views(self, batch: ChangeBatch, ids: Collection[int]) -> dict[int, V]:
        """Returns the current state of these rows, as far as they are visible."""


@dataclass(frozen=True, slots=True)
class Place:
    """An organization and, in `below`, its subtree at the time it was looked up."""

    database: Database
    root: OrganizationId
    below: frozenset[OrganizationId]

    async def is_the_same(self) -> bool:
        """Compares with the subtree as it is now."""
        async with self.database.read() as session:
            return await subtree(session, [self.root]) == self.below

    def __hash__(self) -> int:
        return hash(self.root)


@dataclass(frozen=True, slots=True)
class MemberProjection:
    """The members that a sight and a filter show."""

    sight: Sight
    filter: MemberFilter
    fields: MemberFields
    place: Place | None = None

    @property
    def only_member(self) -> MemberId | None:
        return None if self.sight.sees_others else self.sight.member_id

    @property
    def survives_access_changes(self) -> bool:
        return False

    def operation(self, change: CommittedChange) -> tuple[int, ChangeOperation] | None:
        if change.member_id is None:
            return None
        if change.facts.forgotten:
            # The facts cannot tell any more whether a search had found the member.
            seen = self._sees(change.member_id, change.facts.member_before)
            return (change.member_id, ChangeOperation.REMOVED) if seen else None
        before = self._shows(change.member_id, change.facts.member_before)
        after = self._shows(change.member_id, change.facts.member_after)
        operation = _operation(before, after)
        return None if operation is None else (change.member_id, operation)

    def _shows(self, member_id: MemberId, facts: MemberFacts | None) -> bool:
        return facts is not None and self._sees(member_id, facts) and self.filter.matches(facts)

    def _sees(self, member_id: MemberId, facts: MemberFacts | None) -> bool:
        return facts is not None and self.sight.sees_member(member_id, facts.organization_ids)

    async def views(self, batch: ChangeBatch, ids: Collection[int]) -> dict[int, MemberView]:
        members = await batch.members(self.fields)
        found = {id: members.get(MemberId(id)) for id in ids}
        return {id: view for id, view in found.items() if view and view.is_seen_by(self.sight)}


@dataclass(frozen=True, slots=True)
class EntryProjection:
    """The sync-log entries that a sight and a filter show."""

    sight: Sight
    filter: EntryFilter
    fields: EntryFields
    place: Place | None = None

    @property
    def only_member(self) -> MemberId | None:
        return None

    @property
    def survives_access_changes(self) -> bool:
        return False

    def operation(self, change: CommittedChange) -> tuple[int, ChangeOperation] | None:
        if change.entry_id is None:
            return None
        before = self._shows(change.facts.entry_before)
        operation = _operation(before, self._shows(change.facts.entry_after))
        return None if operation is None else (change.entry_id, operation)

    def _shows(self, facts: EntryFacts | None) -> bool:
        return (
            facts is not None
            and self.sight.sees_entry(facts.organization_id)
            and self.filter.matches(facts)
        )

    async def views(self, batch: ChangeBatch, ids: Collection[int]) -> dict[int, EntryView]:
        entries = await batch.entries(self.fields)
        found = {id: entries.get(EntryId(id)) for id in ids}
        return {id: self._visible(view) for id, view in found.items() if view and self._sees(view)}

    def _sees(self, view: EntryView) -> bool:
        return self.sight.sees_entry(view.row.organization_id)

    def _visible(self, view: EntryView) -> EntryView:
        """Leaves out a member who may not be seen."""
        if view.member is None or view.member.is_seen_by(self.sight):
            return view
        return msgspec.structs.replace(view, member=None)


@dataclass(frozen=True, slots=True)
class ViewerProjection:
    """The viewer after every change that may have altered what they may do.

    Only streams of the same `owner` are shared. `load_viewer` raises when the viewer may no longer
    be served.
    """

    owner: Hashable
    member_id: MemberId | None
    load_viewer: Callable[[], Awaitable[Viewer]] = field(compare=False)

    @property
    def only_member(self) -> MemberId | None:
        return self.member_id or NO_MEMBER

    @property
    def place(self) -> None:
        return None

    @property
    def survives_access_changes(self) -> bool:
        return True

    def operation(self, change: CommittedChange) -> tuple[int, ChangeOperation] | None:
        mine = change.member_id is not None and change.member_id == self.member_id
        return (0, ChangeOperation.UPDATED) if mine or change.access_changed else None

    async def views(self, batch: ChangeBatch, ids: Collection[int]) -> dict[int, Viewer]:
        return dict.fromkeys(ids, await batch.once(self.owner, self.load_viewer))


async def change_messages(
    projection: Projection[V], batch: ChangeBatch, changes: Sequence[CommittedChange], feed_id: str
) -> dict[Position, ChangeMessage[V]]:
    """Returns the messages for those of the changes that the projection shows, by position."""
    shown = [
        (change, *concerned)
        for change in changes
        if (concerned := projection.operation(change)) is not None
    ]
    views = await projection.views(batch, {row_id for _, row_id, _ in shown}) if shown else {}
    return {
        change.position: ChangeMessage(
            Cursor(feed_id, change.position),
            operation,
            row_id,
            None if operation is ChangeOperation.REMOVED else views.get(row_id),
            change.committed_at,
        )
        for change, row_id, operation in shown
    }


def _operation(before: bool, after: bool) -> ChangeOperation | None:
    """Tells what a change is to somebody who saw the row before it, after it, both or neither."""
    if before and after:
        return ChangeOperation.UPDATED
    if after:
        return ChangeOperation.ADDED
    return ChangeOperation.REMOVED if before else None
