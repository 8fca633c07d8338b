"""The words of the domain as types, without storage and with no behaviour but their order."""

import re
import uuid
from enum import Enum, IntEnum, StrEnum
from typing import NewType

_CANONICAL_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)

PortalId = NewType("PortalId", str)
"""The portal's id of a person or chapter, in canonical form (a GUID in lower case)."""


def canonical_portal_id(text: str) -> PortalId:
    """Returns the id in lower case and without braces, if it is a GUID; else unchanged."""
    if _CANONICAL_GUID.fullmatch(text):
        return PortalId(text)
    try:
        return PortalId(str(uuid.UUID(text)))
    except ValueError:
        return PortalId(text)


MemberId = NewType("MemberId", int)
OrganizationId = NewType("OrganizationId", int)
RoleId = NewType("RoleId", int)
EntryId = NewType("EntryId", int)

Position = NewType("Position", int)
"""The place of a change in the feed, increasing in commit order; 0 is before the first change."""


class ActivationState(StrEnum):
    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"


class AccessLevel(IntEnum):
    """What a member may do in the app. A higher level includes the lower ones."""

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


class AttemptTrigger(StrEnum):
    """The reason why an attempt was made."""

    DELIVERY = "DELIVERY"
    RETRY = "RETRY"
    REPLAY = "REPLAY"


class AuditAction(StrEnum):
    """An action that the audit trail records."""

    PAYLOADS_READ = "PAYLOADS_READ"
    EVENTS_REPLAYED = "EVENTS_REPLAYED"
    ROLE_ACCESS_SET = "ROLE_ACCESS_SET"


class ChangeOperation(Enum):
    """The meaning of a change for one viewer."""

    ADDED = "ADDED"
    UPDATED = "UPDATED"
    REMOVED = "REMOVED"
