"""Forgets a person because somebody asks for it. It is recorded as an event of its own source, and
by whom and why in the audit trail, without saying who was forgotten."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import msgspec

from db.database import Database
from db.driver.locks import member_lock, role_catalogue_lock
from db.errors import ConcurrentWriteError, DatabaseUnavailableError
from db.queries.chapters.national_body import NationalBody, has_national_administrator
from db.queries.log.audit_trail import Act, record_act
from db.queries.log.entries import recorded_entries
from db.queries.members.known_members import KnownMember, known_members
from db.queries.members.merges import survivors
from db.sessions import WriteSession
from db.stamp import stamped_at
from db.vocabulary import AuditAction, EntryId, PortalId, read_portal_id
from sync.errors import ForgettingFault, ForgettingRefusedError
from sync.events import FORGETTING, EventType
from sync.recording.deliveries import read_delivery
from sync.recording.record import record_within

MAX_ROUNDS = 20
MAX_REASON = 1000
_SHORTEST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The effect of forgetting. `entry_id` is its log entry, None in a dry run; `report` tells what
    was removed where."""

    entry_id: EntryId | None
    report: str


async def forget_person(
    database: Database,
    portal_id: str,
    reason: str,
    actor: str,
    clock: Callable[[], datetime],
    *,
    national_body: NationalBody,
    dry_run: bool = False,
) -> Forgotten:
    """Removes everything about a person, whether they are known or not, in one transaction.

    A dry run does the same and keeps nothing. The last administrator of the national body is not
    forgotten. Raises ForgettingRefusedError or DatabaseUnavailableError; then nothing is changed.
    """
    id = read_portal_id(portal_id)
    if id is None:
        raise ForgettingRefusedError(
            ForgettingFault.PORTAL_ID_INVALID,
            "portalId",
            f"{portal_id!r} is no id of the portal, such as 6d81597f-0f9f-e711-8122-000d3aa2331c.",
        )
    reason = reason.strip()
    if not reason or len(reason) > MAX_REASON:
        fault = ForgettingFault.REASON_TOO_LONG if reason else ForgettingFault.REASON_MISSING
        text = f"Say why, in 1 to {MAX_REASON} characters; the audit trail keeps it."
        raise ForgettingRefusedError(fault, "reason", text)
    for _ in range(MAX_ROUNDS):
        try:
            async with database.write(exclusive=[member_lock(id)]) as session:
                await session.lock([role_catalogue_lock()])
                had = await has_national_administrator(session, national_body)
                forgotten = await _forget(session, id, reason, actor, clock())
                if had and not await has_national_administrator(session, national_body):
                    raise ForgettingRefusedError(
                        ForgettingFault.LAST_ADMINISTRATOR,
                        "portalId",
                        "This is the last administrator of the national body. Make another member "
                        "administrator there first.",
                    )
                if dry_run:
                    session.discard()
        except ConcurrentWriteError:
            continue
        return Forgotten(None, forgotten.report) if dry_run else forgotten
    raise DatabaseUnavailableError("Other processes keep writing the same rows.")


async def _forget(
    session: WriteSession, id: PortalId, reason: str, actor: str, now: datetime
) -> Forgotten:
    merged = await session.find(survivors([id]))
    known = (await known_members(session, [merged.get(id, id)])).get(merged.get(id, id))
    at = now
    if known is not None:
        _require_nameless(reason, {id, known.portal_id}, known)
        # The portal's clock may be ahead of ours.
        at = max([now, *(stamped_at(stamp) for stamp in known.as_of.values())])
    else:
        _require_nameless(reason, {id}, None)
    body = msgspec.json.encode(
        {
            "type": EventType.MEMBERSHIP_ERASED,
            "timestamp": at.astimezone(UTC).isoformat(),
            "data": {"member": {"id": id}},
            "translation": {"readHere": True},
        }
    )
    delivery = read_delivery(FORGETTING, f"{FORGETTING}-{uuid4().hex}", now, body)
    await record_within(session, [delivery])
    entry = (await session.find(recorded_entries([delivery.key])))[delivery.key][0]
    act = Act(actor, AuditAction.MEMBER_FORGOTTEN, [entry.id], detail=reason)
    await record_act(session, act, now)
    return Forgotten(entry.id, entry.detail or "")


def _require_nameless(reason: str, ids: set[PortalId], known: KnownMember | None) -> None:
    """Raises ForgettingRefusedError for a reason that tells who is forgotten: it is kept."""
    values = [*ids, *(known.profile.values() if known else ())]
    told = reason.casefold()
    if any(
        value and len(value) >= _SHORTEST_NAMED and value.casefold() in told for value in values
    ):
        raise ForgettingRefusedError(
            ForgettingFault.REASON_NAMES_PERSON,
            "reason",
            "The reason is kept in the audit trail, so it must not tell who is forgotten. Refer to "
            "your own case instead.",
        )
