"""Corrections: what a person states of a member because the portal has it wrong.

A correction is an event of its own source in the same order of statements, so it stands until the
portal states something new of that part.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from db.database import Database
from db.driver.locks import LockName, member_lock, organization_lock, role_catalogue_lock
from db.errors import ConcurrentWriteError, DatabaseUnavailableError
from db.queries.chapters.national_body import NationalBody, has_national_administrator
from db.queries.chapters.organizations import organization_ids
from db.queries.chapters.roles import roles_by_code
from db.queries.log.audit_trail import Act, record_act
from db.queries.log.entries import EntryRow, recorded_entries
from db.queries.members.known_members import known_members
from db.queries.members.member_records import MemberRecord, member_records
from db.queries.members.merges import survivors
from db.queries.runs.overruled_statements import save_overruled
from db.sessions import WriteSession
from db.stamp import stamped_at
from db.tables.facts import FieldChange
from db.tables.profile import PROFILE_FIELDS
from db.vocabulary import (
    ActivationState,
    AttemptTrigger,
    AuditAction,
    EntryId,
    MemberId,
    PortalId,
    SyncOutcome,
    SyncStatus,
    read_portal_id,
)
from sync.applying.draft import ORGANIZATION, ROLES, STATE
from sync.applying.overruled import fingerprints_of
from sync.errors import CorrectionFault, CorrectionRefusedError
from sync.events import CORRECTION, Event, EventType
from sync.recording.deliveries import Delivery, read_delivery
from sync.recording.record import record_within

MAX_ROUNDS = 20
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class CorrectedRole:
    """A role that the member holds, in an organization or, without one, at home."""

    code: str
    organization_id: str | None = None


@dataclass(frozen=True, slots=True)
class Correction:
    """The right values of a member, with the ids of the portal. A part that is not given stays as
    it is.

    `profile` holds fields by their names in events; None clears one. `organization_id` is None for
    no home. `roles` is the complete set.
    """

    portal_id: str
    reason: str
    state: ActivationState | None = None
    organization_id: str | UnsetType | None = UNSET
    roles: Sequence[CorrectedRole] | None = None
    profile: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return (
            self.state is None
            and self.organization_id is UNSET
            and self.roles is None
            and not self.profile
        )


@dataclass(frozen=True, slots=True)
class Corrected:
    """The effect of a correction. `entry_id` is its log entry, None in a dry run."""

    member_id: MemberId
    entry_id: EntryId | None
    status: SyncStatus
    outcome: SyncOutcome | None
    changes: list[FieldChange]
    detail: str | None


async def correct_membership(
    database: Database,
    correction: Correction,
    actor: str,
    clock: Callable[[], datetime],
    *,
    national_body: NationalBody,
    dry_run: bool = False,
) -> Corrected:
    """Records and applies a correction, and the audit record of it, in one transaction.

    A dry run does the same and keeps nothing. The last administrator of the national body stays
    one: without them, nobody could correct anything. Raises CorrectionRefusedError or
    DatabaseUnavailableError; then nothing is changed.
    """
    ids = _Ids.of(correction)
    async with database.read() as session:
        merged = await session.find(survivors([ids.member]))
    ids = replaced(ids, member=merged.get(ids.member, ids.member))
    for _ in range(MAX_ROUNDS):
        try:
            async with database.write(exclusive=ids.locks()) as session:
                # Two corrections at once could each leave it to the other to keep an administrator.
                await session.lock([role_catalogue_lock()])
                had_administrator = await has_national_administrator(session, national_body)
                corrected = await _correct(session, correction, ids, actor, clock())
                if had_administrator and not await has_national_administrator(
                    session, national_body
                ):
                    raise _last_administrator(ids.member)
                if dry_run:
                    session.discard()
        except ConcurrentWriteError:
            continue
        return replaced(corrected, entry_id=None) if dry_run else corrected
    raise DatabaseUnavailableError("Other processes keep writing the same rows.")


@dataclass(frozen=True, slots=True)
class _Ids:
    """The ids of a correction, once they are read."""

    member: PortalId
    home: PortalId | UnsetType | None
    role_places: dict[str, PortalId]

    @classmethod
    def of(cls, correction: Correction) -> "_Ids":
        """Raises CorrectionRefusedError for an id that is none, and for what says nothing."""
        if not correction.reason.strip():
            raise CorrectionRefusedError(
                CorrectionFault.REASON_MISSING,
                "reason",
                "Say why: the reason is kept with the correction, in the log and the audit trail.",
            )
        if correction.is_empty:
            raise CorrectionRefusedError(
                CorrectionFault.NOTHING_TO_CORRECT,
                "portalId",
                "Give what is to be corrected: the state, the organization, the roles or a field "
                "of the profile.",
            )
        member = read_portal_id(correction.portal_id)
        if member is None:
            raise _unknown_member(correction.portal_id)
        home: PortalId | UnsetType | None = UNSET
        if correction.organization_id is None:
            home = None
        elif correction.organization_id is not UNSET:
            home = _place(correction.organization_id, "organizationPortalId")
        places = {
            role.organization_id: _place(role.organization_id, "roles")
            for role in correction.roles or ()
            if role.organization_id is not None
        }
        return cls(member, home, places)

    def places(self) -> set[PortalId]:
        return {*self.role_places.values(), *([self.home] if isinstance(self.home, str) else [])}

    def locks(self) -> set[LockName]:
        return {member_lock(self.member), *map(organization_lock, self.places())}


def _place(text: str, field: str) -> PortalId:
    id = read_portal_id(text)
    if id is None:
        raise _unknown_organization(text, field)
    return id


def _unknown_member(text: str) -> CorrectionRefusedError:
    return CorrectionRefusedError(
        CorrectionFault.MEMBER_NOT_FOUND,
        "portalId",
        f"No member with the portal id {text!r} is known. Look the id up on the member's page.",
    )


def _unknown_organization(text: str, field: str) -> CorrectionRefusedError:
    return CorrectionRefusedError(
        CorrectionFault.ORGANIZATION_NOT_FOUND,
        field,
        f"No organization with the portal id {text!r} is known. Query `organizations` for all.",
    )


def _last_administrator(id: PortalId) -> CorrectionRefusedError:
    return CorrectionRefusedError(
        CorrectionFault.LAST_ADMINISTRATOR,
        "portalId",
        f"{id} is the last administrator of the national body, and nobody could administer it "
        "after this. Make another member administrator there first.",
    )


async def _correct(
    session: WriteSession, correction: Correction, ids: _Ids, actor: str, now: datetime
) -> Corrected:
    member = await _known(session, correction, ids)
    known = (await known_members(session, [member.portal_id])).get(member.portal_id)
    parts = {field for field, name in PROFILE_FIELDS.items() if name in correction.profile}
    parts |= {ORGANIZATION} if correction.organization_id is not UNSET else set()
    parts |= {ROLES} if correction.roles is not None else set()
    parts |= {STATE} if correction.state is not None else set()
    if known is not None:
        await save_overruled(session, member.portal_id, fingerprints_of(known, parts))
    delivery = _delivery(correction, ids, _time_of(correction, member, now), actor, now)
    await record_within(session, [delivery])
    entry = (await session.find(recorded_entries([delivery.key])))[delivery.key][0]
    if not entry.field_changes and entry.status is SyncStatus.SUCCESS:
        session.discard()
        raise CorrectionRefusedError(
            CorrectionFault.NOTHING_TO_CORRECT,
            "portalId",
            "The member is just as the correction says already, so there is nothing to correct.",
        )
    detail = f"{member.portal_id}: {correction.reason.strip()}"
    act = Act(actor, AuditAction.MEMBERSHIP_CORRECTED, [entry.id], detail=detail)
    await record_act(session, act, now)
    return _corrected(entry)


def _corrected(entry: EntryRow) -> Corrected:
    if entry.member_id is None:
        raise DatabaseUnavailableError("The correction could not be applied.")
    return Corrected(
        entry.member_id, entry.id, entry.status, entry.outcome, entry.field_changes, entry.detail
    )


async def _known(session: WriteSession, correction: Correction, ids: _Ids) -> MemberRecord:
    """Returns the member. Raises CorrectionRefusedError for what is not known here."""
    members, places = member_records([ids.member]), organization_ids(ids.places())
    codes = roles_by_code({role.code for role in correction.roles or ()})
    await session.fetch(members, places, codes)
    if not members.found:
        raise _unknown_member(correction.portal_id)
    if isinstance(ids.home, str) and ids.home not in places.found:
        raise _unknown_organization(ids.home, "organizationPortalId")
    for place in ids.role_places.values():
        if place not in places.found:
            raise _unknown_organization(place, "roles")
    known = {role.code for role in codes.found}
    for role in correction.roles or ():
        if role.code not in known:
            raise CorrectionRefusedError(
                CorrectionFault.ROLE_NOT_FOUND,
                "roles",
                f"There is no role {role.code!r}. Query `roles` for all roles.",
            )
    return members.found[0]


def _time_of(correction: Correction, member: MemberRecord, now: datetime) -> datetime:
    """Returns now, or just after what is known of the member: the portal's clock may be ahead."""
    return max([now, *(stamped_at(stamp) + _INSTANT for stamp in member.as_of.values())])


def _delivery(
    correction: Correction, ids: _Ids, at: datetime, actor: str, now: datetime
) -> Delivery:
    data: dict[str, Any] = {
        "member": {"id": ids.member, **correction.profile},
        "reason": correction.reason,
    }
    if correction.state is not None:
        data["state"] = correction.state
    if ids.home is not UNSET:
        data["organization"] = None if ids.home is None else {"id": ids.home}
    if correction.roles is not None:
        data["roles"] = [
            {
                "code": role.code,
                "organizationId": ids.role_places[role.organization_id]
                if role.organization_id
                else None,
            }
            for role in correction.roles
        ]
    body = msgspec.json.encode(
        {
            "type": EventType.MEMBERSHIP_STATED,
            "timestamp": at.astimezone(UTC).isoformat(),
            "data": data,
            "translation": {"readHere": True},
        }
    )
    delivery = read_delivery(CORRECTION, f"correction-{uuid4().hex}", now, body)
    if not isinstance(delivery.content, Event):
        raise CorrectionRefusedError(
            CorrectionFault.VALUE_REFUSED, "portalId", str(delivery.content)
        )
    if delivery.content.remarks:
        # A sender's mistakes are mended; who corrects something is asked to write it as meant.
        raise CorrectionRefusedError(
            CorrectionFault.VALUE_REFUSED,
            "profile" if correction.profile else "reason",
            " ".join(delivery.content.remarks),
        )
    reason = delivery.content.reason
    return replace(delivery, trigger=AttemptTrigger.CORRECTION, actor=actor, reason=reason)
