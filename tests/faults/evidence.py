"""What stands in the database after a fault, against what the senders were promised."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import select

from db.sessions import ReadSession
from db.tables.models import Change, FeedHead, SyncLogEntry
from db.vocabulary import SyncOutcome, SyncStatus
from tests.faults.senders import SOURCE, Senders, Sent
from tests.support.opened import opened
from tests.sync.model import Told, world_after
from tests.sync.recorded_events import World, world_of

DONE = {SyncStatus.SUCCESS, SyncStatus.SKIPPED}


@dataclass(frozen=True)
class Evidence:
    entries: list[Any]
    changes: list[Any]
    head: int
    world: World

    @cached_property
    def recorded(self) -> set[str]:
        return {entry.event_id for entry in self.entries}

    def lost(self, sent: Iterable[Sent]) -> list[str]:
        """Promised, and not there."""
        return [
            one.event_id for one in sent if one.acknowledged and one.event_id not in self.recorded
        ]

    def applied_twice(self) -> list[str]:
        """An event was recorded in one change of the feed, applied in one attempt, and if it
        created a member, it was the only one that did."""
        recordings = Counter(
            change.entry_id for change in self.changes if not change.facts.entry_before
        )
        creations = Counter(
            entry.member_id for entry in self.entries if entry.outcome is SyncOutcome.CREATED
        )
        return [
            entry.event_id
            for entry in self.entries
            if recordings[entry.id] != 1
            or entry.attempts != 1
            or (entry.outcome is SyncOutcome.CREATED and creations[entry.member_id] != 1)
        ]


async def evidence(database_url: str) -> Evidence:
    async with opened(database_url) as database:
        async with database.read() as session:
            entries = await _rows(session, SyncLogEntry, SyncLogEntry.id)
            changes = await _rows(session, Change, Change.position)
            head = await session.scalar(select(FeedHead.position))
        return Evidence(entries, changes, head or 0, await world_of(database))


async def _rows(session: ReadSession, of: Any, order: Any) -> list[Any]:
    return list(await session.all(select(*of.__table__.columns).order_by(order)))


async def check_promises(database_url: str, senders: Senders) -> Evidence:
    """Every delivery answered in the 200s is there once, applied once, and the members are those
    that a model makes of what is in the log."""
    found = await evidence(database_url)
    sent = {one.event_id: one for one in senders.sent}

    assert found.lost(senders.sent) == []
    assert found.applied_twice() == []
    assert len(found.recorded) == len(found.entries)
    for entry in found.entries:
        one = sent[entry.event_id]
        assert entry.source == SOURCE
        assert json.loads(entry.payload) == one.event
        assert entry.status in DONE
        assert entry.next_attempt_at is None
        assert one.acknowledged <= entry.deliveries <= one.tries
    assert [change.position for change in found.changes] == list(range(1, found.head + 1))
    told = [Told(e.source, e.event_id, json.loads(e.payload)) for e in found.entries]
    assert found.world == world_after(told)
    return found


def figures(senders: Senders, found: Evidence) -> str:
    return (
        f"{len(senders.acknowledged)} events acknowledged, {len(found.entries)} recorded, "
        f"{len(found.lost(senders.sent))} acknowledged and lost, "
        f"{len(found.applied_twice())} applied twice; "
        f"answers {dict(senders.answers)}, {senders.broken} broken connections"
    )
