"""Restoring: what members were before some events, stated as corrections.

It reads what the recorded statements say without those of the chosen entries. Only what these
still decide is restored: what somebody has stated since stays.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from msgspec import UNSET, UnsetType

from db.database import Database
from db.queries.chapters.national_body import NationalBody
from db.queries.log.entries import EventKey, RecordedBody, applied_bodies, keys_of
from db.queries.members.member_pages import stamps_of
from db.sessions import ReadSession
from db.stamp import Stamp, key_of
from db.tables.profile import PROFILE_FIELDS
from db.vocabulary import ActivationState, EntryId, MemberId
from sync.applying.batch import ReceivedEvent
from sync.applying.draft import ORGANIZATION, ROLES, STATE
from sync.correcting.corrections import Corrected, CorrectedRole, Correction, correct_membership
from sync.errors import CorrectionFault, CorrectionRefusedError, RejectedError
from sync.events import Event, OrganizationStatement
from sync.parsing.parser import parse_event


async def restore(
    database: Database,
    entry_ids: Collection[EntryId],
    reason: str,
    actor: str,
    clock: Callable[[], datetime],
    *,
    national_body: NationalBody,
    dry_run: bool = False,
) -> list[Corrected]:
    """Corrects each member whom these entries still decide something of, in a transaction each.

    Raises CorrectionRefusedError or DatabaseUnavailableError; the members before are corrected.
    """
    corrected = []
    for correction in await corrections_for(database, entry_ids, reason):
        try:
            corrected.append(
                await correct_membership(
                    database,
                    correction,
                    actor,
                    clock,
                    national_body=national_body,
                    dry_run=dry_run,
                )
            )
        except CorrectionRefusedError as error:
            # What the entries state is what was stated before them as well.
            if error.fault is not CorrectionFault.NOTHING_TO_CORRECT:
                raise
    return corrected


async def corrections_for(
    database: Database, entry_ids: Collection[EntryId], reason: str
) -> list[Correction]:
    """Returns what restoring would state, without what is so already."""
    async with database.read() as session:
        chosen: defaultdict[MemberId, set[EventKey]] = defaultdict(set)
        portal_ids = {}
        for entry in await keys_of(session, entry_ids):
            chosen[entry.member_id].add(entry.key)
            portal_ids[entry.member_id] = entry.portal_id
        stamps = await stamps_of(session, chosen)
        return [
            correction
            for id, keys in sorted(chosen.items())
            if (parts := _decided_by(keys, stamps[id]))
            and not (
                correction := _correction(
                    portal_ids[id], reason, parts, await _other_statements(session, id, keys)
                )
            ).is_empty
        ]


def _decided_by(keys: Collection[EventKey], stamps: dict[str, Stamp]) -> set[str]:
    return {part for part, stamp in stamps.items() if key_of(stamp) in keys}


async def _other_statements(
    session: ReadSession, member_id: MemberId, without: Collection[EventKey]
) -> list[Event]:
    """Returns what else was stated of the member, the newest first."""
    found = []
    async for bodies in applied_bodies(session, member_id):
        found += [_read(body) for body in bodies if (body.source, body.event_id) not in without]
    newest_first = sorted(found, key=lambda received: received.stamp, reverse=True)
    return [received.event for received in newest_first if isinstance(received.event, Event)]


def _read(body: RecordedBody) -> ReceivedEvent:
    try:
        event = parse_event(body.payload, max_roles=None)
    except RejectedError as error:
        raise _unreadable(body) from error
    if not isinstance(event, Event):
        raise _unreadable(body)
    return ReceivedEvent(body.source, body.event_id, body.received_at, event)


def _unreadable(body: RecordedBody) -> CorrectionRefusedError:
    return CorrectionRefusedError(
        CorrectionFault.VALUE_REFUSED,
        "entries",
        f"What the event {body.event_id} of {body.source} states can no longer be read, so what "
        "was before cannot be told. Correct this member by hand.",
    )


def _correction(
    portal_id: str, reason: str, parts: Collection[str], statements: Sequence[Event]
) -> Correction:
    profile = {
        PROFILE_FIELDS[field]: _value(portal_id, field, statements)
        for field in PROFILE_FIELDS
        if field in parts
    }
    return Correction(
        portal_id=portal_id,
        reason=reason,
        state=_state(statements) if STATE in parts else None,
        organization_id=_home(statements) if ORGANIZATION in parts else UNSET,
        roles=_roles(statements) if ROLES in parts else None,
        profile=profile,
    )


def _value(portal_id: str, field: str, statements: Sequence[Event]) -> str | None:
    """Raises CorrectionRefusedError if the value was stated and is no longer kept."""
    for event in statements:
        if field in event.profile:
            return event.profile[field]
        if field in (event.removed or ()):
            raise CorrectionRefusedError(
                CorrectionFault.VALUE_REFUSED,
                "entries",
                f"What `{PROFILE_FIELDS[field]}` of {portal_id} was before is no longer kept "
                "(LIKEPERSON_BODY_DAYS). Correct this member by hand.",
            )
    return None


def _state(statements: Sequence[Event]) -> ActivationState:
    stated = (event.state for event in statements if event.state is not None)
    return next(stated, ActivationState.ACTIVE)


def _home(statements: Sequence[Event]) -> str | UnsetType | None:
    stated = (event.organization for event in statements if event.organization is not UNSET)
    home = next(stated, None)
    return home.id if isinstance(home, OrganizationStatement) else None


def _roles(statements: Sequence[Event]) -> list[CorrectedRole]:
    roles = next((event.roles for event in statements if event.roles is not None), frozenset())
    ordered = sorted(roles, key=lambda role: (role.code, role.organization_id or ""))
    return [CorrectedRole(role.code, role.organization_id) for role in ordered]
