"""Facts: what a change in the feed tells of a member or a log entry at one moment.

They are stored as JSON, so a field that is added needs a default: older changes do not have it.
"""

from datetime import datetime

import msgspec

from db.vocabulary import AccessLevel, ActivationState, SyncOutcome, SyncStatus


class FieldChange(msgspec.Struct, frozen=True):
    """One field of a member before and after an event, as people read it."""

    field: str
    before: str | None
    after: str | None


class MemberFacts(msgspec.Struct, frozen=True):
    """What visibility and filters ask of a member, as it was at one moment."""

    state: ActivationState
    access_level: AccessLevel
    organization_ids: tuple[int, ...]
    role_codes: tuple[str, ...]
    search_text: str
    updated_at: datetime


class EntryFacts(msgspec.Struct, frozen=True):
    """What visibility and filters ask of a sync-log entry, as it was at one moment."""

    status: SyncStatus
    outcome: SyncOutcome | None
    event_type: str | None
    source: str
    member_id: int | None
    organization_id: int | None
    received_at: datetime


class ChangeFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """The two sides of a change: from them a subscription tells entering, staying and leaving.

    `catalogue_changed`: what roles give has changed, for all their holders at once.
    """

    member_before: MemberFacts | None = None
    member_after: MemberFacts | None = None
    entry_before: EntryFacts | None = None
    entry_after: EntryFacts | None = None
    catalogue_changed: bool = False
