"""Events as the portal sends them, after parsing.

Ids are in canonical form, texts have no control characters and no blanks around them, times are in
UTC.
"""

from datetime import datetime
from enum import StrEnum

import msgspec
from msgspec import UNSET, UnsetType

from db.vocabulary import ActivationState, PortalId

CORRECTION = "correction"
"""The source of corrections, which stand until something new is stated. No sender has this name."""

FORGETTING = "forgetting"
RETENTION = "retention"
"""The sources of what a person, or the end of the time for which it is kept, says to forget. No
sender has these names."""

OWN_SOURCES = (CORRECTION, FORGETTING, RETENTION)


class EventType(StrEnum):
    MEMBERSHIP_CREATED = "membership-created"
    MEMBERSHIP_UPDATED = "membership-updated"
    ROLE_UPDATED = "role-updated"
    MEMBERSHIP_DEACTIVATED = "membership-deactivated"
    MEMBERSHIP_REACTIVATED = "membership-reactivated"
    MEMBERSHIP_STATED = "membership-stated"
    MEMBERSHIP_MERGED = "membership-merged"
    MEMBERSHIP_ERASED = "membership-erased"
    ORGANIZATION_UPDATED = "organization-updated"


class OrganizationStatement(msgspec.Struct, frozen=True):
    """A statement about a chapter; UNSET fields are not stated."""

    id: PortalId
    name: str | UnsetType = UNSET
    parent_id: PortalId | UnsetType | None = UNSET
    closed: bool | UnsetType = UNSET

    def mentioned(self) -> set[PortalId]:
        """Returns the ids of this chapter and of the one above it, if stated."""
        return {self.id, self.parent_id} if self.parent_id else {self.id}


class RoleStatement(msgspec.Struct, frozen=True):
    code: str
    organization_id: PortalId | None


class Event(msgspec.Struct, frozen=True):
    """A fact from the portal. `profile` holds the stated fields; None clears one.

    `organization` is None if the home organization is cleared, and UNSET if it is not stated.
    `roles` is the complete set, or None if roles are not stated; `state` likewise. `sequence` is
    the portal's row version, and 0 if it is not stated.
    `only_if_known`: it says nothing of a person who is not known here.
    `happened_at` is shown as the time of an event that is ranked by another one; `read_here`: its
    time is that at which this service read it, by its own clock. `merged_id` is an id that was of
    the same person. `removed` names the profile fields that it stated, once their values are no
    longer kept. `remarks` tell what was mended, or could not be translated.
    """

    type: EventType
    occurred_at: datetime
    member_id: PortalId
    profile: dict[str, str | None]
    organization: OrganizationStatement | UnsetType | None = UNSET
    roles: frozenset[RoleStatement] | None = None
    state: ActivationState | None = None
    reason: str | None = None
    sequence: int = 0
    only_if_known: bool = False
    happened_at: datetime | None = None
    read_here: bool = False
    remarks: tuple[str, ...] = ()
    merged_id: PortalId | None = None
    removed: tuple[str, ...] | None = None

    def member_ids(self) -> set[PortalId]:
        """Returns the ids of the person that the event mentions."""
        return {self.member_id, self.merged_id} if self.merged_id else {self.member_id}

    def organization_ids(self) -> set[PortalId]:
        """Returns the ids of all chapters that the event mentions."""
        ids = {role.organization_id for role in self.roles or () if role.organization_id}
        if isinstance(self.organization, OrganizationStatement):
            ids |= self.organization.mentioned()
        return ids

    def states_parent(self) -> bool:
        """Returns True if the event states the place of a chapter in the tree."""
        stated = self.organization
        return isinstance(stated, OrganizationStatement) and stated.parent_id is not UNSET

    def outline(self) -> "Outline":
        """Returns the event's type, time, person and chapter."""
        stated = self.organization
        where = stated.id if isinstance(stated, OrganizationStatement) else None
        return Outline(self.type.value, self.occurred_at, self.member_id, where)

    def without_remarks(self) -> "Event":
        """Returns what the event states, to be compared with another one."""
        return msgspec.structs.replace(self, remarks=())

    def without_values(self) -> "Event":
        """Returns what is kept of the event for ever: no values of the profile, and no reason."""
        removed = tuple(sorted(self.profile)) if self.removed is None else self.removed
        return msgspec.structs.replace(self, profile={}, reason=None, remarks=(), removed=removed)


class ChapterEvent(msgspec.Struct, frozen=True):
    """A fact about a chapter, which concerns no member by itself."""

    type: EventType
    occurred_at: datetime
    organization: OrganizationStatement
    sequence: int = 0
    happened_at: datetime | None = None
    remarks: tuple[str, ...] = ()

    def organization_ids(self) -> set[PortalId]:
        """Returns the ids of all chapters that the event mentions."""
        return self.organization.mentioned()

    def states_parent(self) -> bool:
        """Returns True if the event states the place of a chapter in the tree."""
        return self.organization.parent_id is not UNSET

    def outline(self) -> "Outline":
        """Returns the event's type, time and chapter."""
        return Outline(self.type.value, self.occurred_at, None, self.organization.id)

    def without_remarks(self) -> "ChapterEvent":
        """Returns what the event states, to be compared with another one."""
        return msgspec.structs.replace(self, remarks=())


AnyEvent = Event | ChapterEvent


class Outline(msgspec.Struct, frozen=True):
    """The outline of a body that is not applied: its type, time, person and chapter, where they can
    be read."""

    type: str | None = None
    occurred_at: datetime | None = None
    member_id: PortalId | None = None
    organization_id: PortalId | None = None


class RowMessage(msgspec.Struct, frozen=True):
    """A message that tells which member to look at, and nothing else that counts."""

    member_id: PortalId
    outline: Outline


class UnknownEvent(msgspec.Struct, frozen=True):
    """An event of a type this program does not know. `value` is the body as JSON."""

    type: str
    outline: Outline
    value: object
