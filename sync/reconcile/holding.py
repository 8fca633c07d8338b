"""Removals that the deletion guard holds back until a person decides, whatever runs come after."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec
from msgspec.structs import replace

from db.database import Database
from db.queries.log.audit_trail import Act, record_act
from db.queries.log.source_activity import RELEASED
from db.queries.runs.reconciliations import Held, discard_held, drop_held, held_items
from db.vocabulary import AttemptTrigger, AuditAction, PortalId
from sync.applying.draft import ROLES
from sync.events import EventType
from sync.reconcile.comparison import Difference
from sync.recording.deliveries import Delivery, read_delivery
from sync.recording.record import record_deliveries

BATCH = 100

Part = tuple[PortalId, str]


class NothingHeldError(Exception):
    """There is nothing to decide. The message says so."""


class Holding:
    """The held removals of one source, as a run finds them."""

    def __init__(self, known: Sequence[Held]) -> None:
        self._known = {(item.portal_id, item.part): item for item in known}
        self._found: dict[Part, str | None] = {}
        self._parts: set[Part] = set()

    def without_discarded(self, difference: Difference) -> Difference:
        """Returns the difference without what a person has discarded, as long as the source says
        the same of it."""
        parts = []
        for part, there in difference.removals().items():
            item = self._known.get((difference.portal_id, part))
            if item is not None and item.discarded and item.there == there:
                parts.append(part)
                self._found[difference.portal_id, part] = there
        return difference.without(parts) if parts else difference

    def find(self, difference: Difference) -> None:
        """Notes what the difference would take away."""
        for part, there in difference.removals().items():
            self._found[difference.portal_id, part] = there

    def decide(self, *, everything: bool) -> None:
        """Holds what was held before and is found again, or everything that was found."""
        for key in self._found:
            item = self._known.get(key)
            discarded = item is not None and item.discarded and item.there == self._found[key]
            if not discarded and (everything or (item is not None and not item.discarded)):
                self._parts.add(key)

    def holds(self, portal_id: PortalId, part: str) -> bool:
        return (portal_id, part) in self._parts

    def held(self, source: str, run: int, stated_at: datetime, now: datetime) -> list[Held]:
        """Returns what this run holds. Since when it is held does not change."""
        return [
            Held(
                portal_id=portal_id,
                part=part,
                there=self._found[portal_id, part],
                stated_at=stated_at,
                held_since=now
                if (item := self._known.get((portal_id, part))) is None or item.discarded
                else item.held_since,
                discarded=False,
                source=source,
                reconciliation_id=run,
            )
            for portal_id, part in sorted(self._parts)
        ]

    def over(self, was_compared: Callable[[PortalId], bool]) -> list[Held]:
        """Returns what was held, or discarded, of which the source says no more."""
        return [
            item
            for key, item in self._known.items()
            if key not in self._found and was_compared(item.portal_id)
        ]

    def names(self) -> list[str]:
        """Returns what this run holds, a line for each part."""
        return [
            named(portal_id, part, self._found[portal_id, part])
            for portal_id, part in sorted(self._parts)
        ]


def named(portal_id: PortalId, part: str, there: str | None) -> str:
    """Returns what is held in words."""
    return f"{portal_id}: " + (
        f"roles, of which {there or 'none'} stay" if part == ROLES else "membership"
    )


async def decide_held(
    database: Database,
    items: Sequence[Held],
    actor: str,
    reason: str,
    clock: Callable[[], datetime],
    *,
    release: bool,
) -> None:
    """Applies what is held, as of when the source said it, or leaves here what is here.

    Recorded in the audit trail with actor and reason. Raises NothingHeldError or
    DatabaseUnavailableError.
    """
    undecided = [item for item in items if not item.discarded]
    if not undecided:
        raise NothingHeldError("Nothing is held back here; somebody may have decided it already.")
    if release:
        # Before it counts as decided, so that nothing is lost when the process ends in between:
        # a statement that is recorded twice is one.
        deliveries = [_delivery(item, actor, reason, clock()) for item in undecided]
        for start in range(0, len(deliveries), BATCH):
            await record_deliveries(database, deliveries[start : start + BATCH])
    action = AuditAction.HELD_RELEASED if release else AuditAction.HELD_DISCARDED
    async with database.write() as session:
        await (drop_held if release else discard_held)(session, undecided)
        sources = ", ".join(sorted({item.source for item in undecided}))
        detail = f"{len(undecided)} of {sources}: {reason}"
        await record_act(session, Act(actor, action, detail=detail), clock())


async def held_of(
    database: Database, source: str | None = None, run: int | None = None
) -> list[Held]:
    """Returns what waits for a decision, of a source or of a run."""
    async with database.read() as session:
        items = await held_items(session, source, run)
    return [item for item in items if not item.discarded]


def _delivery(item: Held, actor: str, reason: str, now: datetime) -> Delivery:
    data: dict[str, Any] = {"member": {"id": item.portal_id}}
    if item.part == ROLES:
        roles = [text.partition("@") for text in (item.there or "").split("|") if text]
        data["roles"] = [
            {"code": code, **({"organizationId": where} if where else {})}
            for code, _, where in roles
        ]
    else:
        data["state"] = item.there
    body = msgspec.json.encode(
        {
            "type": EventType.MEMBERSHIP_STATED.value,
            "timestamp": item.stated_at.astimezone(UTC).isoformat(),
            "data": data,
        }
    )
    event_id = f"{RELEASED}{sha256(body).hexdigest()[:40]}"
    delivery = read_delivery(item.source, event_id, now, body)
    return replace(delivery, trigger=AttemptTrigger.RECONCILIATION, actor=actor, reason=reason)
