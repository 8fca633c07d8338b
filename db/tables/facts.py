"""Facts: what a change in the feed tells of a member or a log entry at one moment, and the like.

They are stored as JSON, so a field that is added needs a default: older changes do not have it.
"""

from datetime import datetime

import msgspec

from db.vocabulary import AccessLevel, ActivationState, SyncOutcome, SyncStatus


class FieldChange(msgspec.Struct, frozen=True):
    """A field before and after an event, as texts for people."""

    field: str
    before: str | None
    after: str | None


class MemberFacts(msgspec.Struct, frozen=True):
    """The facts about a member that visibility and filters depend on, at one moment."""

    state: ActivationState
    access_level: AccessLevel
    organization_ids: tuple[int, ...]
    role_codes: tuple[str, ...]
    search_text: str
    updated_at: datetime


class EntryFacts(msgspec.Struct, frozen=True):
    """The facts about a log entry that visibility and filters depend on, at one moment."""

    status: SyncStatus
    outcome: SyncOutcome | None
    event_type: str | None
    source: str
    member_id: int | None
    organization_id: int | None
    received_at: datetime


class ChangeFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """The facts before and after a change, from which a subscription tells ADDED, UPDATED and
    REMOVED.

    `catalogue_changed`: the access level of a role has changed, for all its holders at once.
    `forgotten`: the member was forgotten, and the facts before it do not tell who it was.
    """

    member_before: MemberFacts | None = None
    member_after: MemberFacts | None = None
    entry_before: EntryFacts | None = None
    entry_after: EntryFacts | None = None
    catalogue_changed: bool = False
    forgotten: bool = False


class ToldConcern(msgspec.Struct, frozen=True):
    """The time at which people were last told of a concern, and since when it has been over, if it
    is."""

    told_at: datetime
    missing_since: datetime | None = None
