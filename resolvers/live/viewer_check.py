"""The check that a subscriber still sees what they saw when the stream began."""

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any

from db.publication import CommittedChange
from db.queries.members.viewers import Viewer
from db.vocabulary import AccessLevel, MemberId, Position
from resolvers.live.change_batch import ChangeBatch
from resolvers.live.projections import Projection


@dataclass(frozen=True, slots=True)
class ViewerCheck:
    """Compares one subscriber's sight with the one they began with.

    `opened_at` is the last position of the feed when `viewer` was looked up. `load_viewer` raises
    when the viewer may no longer be served; it returns the same for equal `owner`s.
    """

    owner: Hashable
    viewer: Viewer
    opened_at: Position
    load_viewer: Callable[[], Awaitable[Viewer]]

    @property
    def member_id(self) -> MemberId | None:
        return None if self.viewer.member is None else self.viewer.member.id

    async def sees_the_same(
        self, batch: ChangeBatch, change: CommittedChange, projection: Projection[Any]
    ) -> bool:
        """Returns False when the viewer may see other things after the change than before it."""
        if change.facts.catalogue_changed:
            return False
        mine = change.member_id is not None and change.member_id == self.member_id
        if not (change.access_changed or mine):
            return True
        if change.position <= self.opened_at:
            # The viewer and the place were looked up after the change, so comparing them with
            # what they are now says nothing about it.
            sees_others = not self.viewer.is_operator and self.viewer.sight.sees_others
            moved = sees_others or projection.place is not None
            return not (was_coordinator(change) if mine else moved)
        place = projection.place
        if place is not None and not await batch.once(place, place.is_the_same):
            return False
        now = await batch.once(self.owner, self.load_viewer)
        return now.sight == self.viewer.sight


def was_coordinator(change: CommittedChange) -> bool:
    """Returns True when the member saw others before or after the change."""
    sides = (change.facts.member_before, change.facts.member_after)
    return any(side and side.access_level >= AccessLevel.COORDINATOR for side in sides)
