"""The words of the domain as types, without storage and with no behaviour but their order."""

import re
from enum import Enum, IntEnum, StrEnum
from typing import NewType

_DIGITS = r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"
_GUID = re.compile(rf"({_DIGITS})|\{{({_DIGITS})\}}|\(({_DIGITS})\)|([0-9a-f]{{32}})")
_OTHER_ID = re.compile(r"[A-Za-z0-9._@/+-]{1,100}")
# What is written like a GUID, but is none: perhaps cut off, or in another notation.
_ALMOST_GUID = re.compile(r"(?:0x)?[0-9a-f-]{20,}", re.IGNORECASE)

PortalId = NewType("PortalId", str)
"""The portal's id of a person or chapter, in canonical form (a GUID in lower case)."""


def read_portal_id(text: str) -> PortalId | None:
    """Returns the id in canonical form, or None for what is no id.

    GUIDs are read in the formats D, N, B and P of .NET, in either case. Another id consists of
    ASCII letters, digits and `._@/+-`.
    """
    if guid := _GUID.fullmatch(text.lower()):
        dashed = guid[1] or guid[2] or guid[3]
        if dashed:
            return PortalId(dashed)
        digits = guid[4]
        parts = digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]
        return PortalId("-".join(parts))
    if _OTHER_ID.fullmatch(text) and not _ALMOST_GUID.fullmatch(text):
        return PortalId(text)
    return None


def canonical_portal_id(text: str) -> PortalId:
    """Returns the id for a look-up. What is no id is kept as it is, and finds nobody."""
    return read_portal_id(text) or PortalId(text)


MemberId = NewType("MemberId", int)
OrganizationId = NewType("OrganizationId", int)
RoleId = NewType("RoleId", int)
AssignmentId = NewType("AssignmentId", int)
EntryId = NewType("EntryId", int)

Position = NewType("Position", int)
"""The place of a change in the feed, increasing in commit order; 0 is before the first change."""


class ActivationState(StrEnum):
    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"


class AccessLevel(IntEnum):
    """The rights of a member in the app. A higher level includes the lower ones."""

    NONE = 0
    MEMBER = 1
    PEER_MENTOR = 2
    COORDINATOR = 3
    ADMIN = 4


class SyncStatus(StrEnum):
    PENDING = "PENDING"
    SUCCESS = "SUCCESS"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"
    DEAD = "DEAD"
    REJECTED = "REJECTED"


class SyncOutcome(StrEnum):
    CREATED = "CREATED"
    UPDATED = "UPDATED"
    UNCHANGED = "UNCHANGED"
    DEACTIVATED = "DEACTIVATED"
    REACTIVATED = "REACTIVATED"
    STALE = "STALE"
    IGNORED = "IGNORED"


class EntryMark(StrEnum):
    """A doubt about a log entry, to be counted and looked after.

    CONFLICT: its event id belongs to another event. OVERTAKEN: it is older than a statement that
    was received before it. TIED: another event of the same time and sequence states something else.
    """

    CONFLICT = "CONFLICT"
    OVERTAKEN = "OVERTAKEN"
    TIED = "TIED"


class ConcernKind(StrEnum):
    """A kind of matter that somebody must look after, the most urgent first."""

    REFUSED_DEACTIVATION = "REFUSED_DEACTIVATION"
    REFUSALS = "REFUSALS"
    STORAGE = "STORAGE"
    DEAD = "DEAD"
    WAITING = "WAITING"
    REJECTIONS = "REJECTIONS"
    UNKNOWN_TYPES = "UNKNOWN_TYPES"
    MASS_DEACTIVATION = "MASS_DEACTIVATION"
    HELD = "HELD"
    SILENCE = "SILENCE"
    NEVER_RECEIVED = "NEVER_RECEIVED"
    MISSED_WEBHOOKS = "MISSED_WEBHOOKS"
    DRIFT = "DRIFT"
    OVERTAKEN = "OVERTAKEN"
    UNDECIDED_ROLES = "UNDECIDED_ROLES"
    HOMELESS = "HOMELESS"
    CYCLE = "CYCLE"
    SECOND_ROOT = "SECOND_ROOT"
    SHARED_MEMBER_NUMBER = "SHARED_MEMBER_NUMBER"


class ConcernState(StrEnum):
    """OPEN: nobody has taken it on. ACKNOWLEDGED: an administrator has, until it grows. OVER: there
    is nothing left to look after."""

    OPEN = "OPEN"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    OVER = "OVER"


class AttemptTrigger(StrEnum):
    """The reason why an attempt was made."""

    DELIVERY = "DELIVERY"
    RETRY = "RETRY"
    REPLAY = "REPLAY"
    RECONCILIATION = "RECONCILIATION"
    CORRECTION = "CORRECTION"


class AuditAction(StrEnum):
    """An action that the audit trail records."""

    PAYLOADS_READ = "PAYLOADS_READ"
    VALUES_READ = "VALUES_READ"
    EVENTS_REPLAYED = "EVENTS_REPLAYED"
    ROLE_ACCESS_SET = "ROLE_ACCESS_SET"
    MEMBERSHIP_CORRECTED = "MEMBERSHIP_CORRECTED"
    RECONCILIATION_STARTED = "RECONCILIATION_STARTED"
    HELD_RELEASED = "HELD_RELEASED"
    HELD_DISCARDED = "HELD_DISCARDED"
    CONCERN_ACKNOWLEDGED = "CONCERN_ACKNOWLEDGED"
    MEMBER_FORGOTTEN = "MEMBER_FORGOTTEN"
    PERSON_EXPORTED = "PERSON_EXPORTED"


class ReconciliationKind(StrEnum):
    """DELTA: what the portal says has changed. FULL: the whole portal. FILE: a file of members."""

    DELTA = "DELTA"
    FULL = "FULL"
    FILE = "FILE"


class ReconciliationStatus(StrEnum):
    """HELD: done, and something waits for a person. It is computed, and stored nowhere."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    HELD = "HELD"


class DriftAction(StrEnum):
    """The deed of a run about a difference.

    HELD: the deletion guard holds it. BEATEN: a later statement stands. CORRECTED: a correction
    stands. DISCARDED: a person has decided that what is here stays. FOUND: the run was a dry run.
    """

    APPLIED = "APPLIED"
    HELD = "HELD"
    BEATEN = "BEATEN"
    CORRECTED = "CORRECTED"
    DISCARDED = "DISCARDED"
    FOUND = "FOUND"


class ChangeOperation(Enum):
    """The meaning of a change for one viewer."""

    ADDED = "ADDED"
    UPDATED = "UPDATED"
    REMOVED = "REMOVED"
