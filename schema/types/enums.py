"""The enums of the domain, with descriptions for GraphQL."""

from enum import Enum

import strawberry

from db.queries.members.member_pages import MemberOrderField
from db.vocabulary import (
    AccessLevel,
    ActivationState,
    AttemptTrigger,
    AuditAction,
    ChangeOperation,
    ConcernKind,
    ConcernState,
    DriftAction,
    ReconciliationKind,
    ReconciliationStatus,
    SyncOutcome,
    SyncStatus,
)
from resolvers.live.stream_messages import ResyncReason


def _described(enum: type[Enum], description: str, values: dict[str, str]) -> None:
    """Makes a GraphQL enum of an enum that belongs to a package without GraphQL."""
    strawberry.enum(enum, description=description)
    for value in enum.__strawberry_definition__.values:  # type: ignore[attr-defined]  # set above
        value.description = values[value.name]


class OrderDirection(Enum):
    ASC = "ASC"
    DESC = "DESC"


_described(
    ActivationState,
    "The state of a membership.",
    {
        "ACTIVE": "A member, who can use the app.",
        "INACTIVE": "No longer a member: cannot use the app.",
    },
)
_described(
    AccessLevel,
    "What a member may do in the app. Each level includes the ones listed before it.",
    {
        "NONE": "May do nothing: holds no role, or is inactive.",
        "MEMBER": "Sees themselves.",
        "PEER_MENTOR": "A peer mentor (likeperson). Sees themselves.",
        "COORDINATOR": "Sees the members of an organization and of those below it.",
        "ADMIN": "As a coordinator, and sees the sync log there and may replay its events.",
    },
)
_described(
    SyncStatus,
    "The status of an event.",
    {
        "PENDING": "Recorded, but not tried yet.",
        "SUCCESS": "Applied, or had nothing to change.",
        "SKIPPED": "Recorded, but not applied; the outcome says why.",
        "FAILED": "Failed; it is tried again at `nextAttemptAt`.",
        "DEAD": "Failed for so long that it is tried again only by a replay.",
        "REJECTED": "Cannot be read as an event; `detail` says why.",
    },
)
_described(
    SyncOutcome,
    "The outcome of an event.",
    {
        "CREATED": "It created the member.",
        "UPDATED": "It changed the member.",
        "UNCHANGED": "It changed nothing: the member was already as it says.",
        "DEACTIVATED": "It deactivated the member.",
        "REACTIVATED": "It reactivated the member.",
        "STALE": "It changed nothing: newer events say otherwise.",
        "IGNORED": "Its type is unknown.",
    },
)
_described(
    AttemptTrigger,
    "What caused an attempt.",
    {
        "DELIVERY": "The delivery of the event.",
        "RETRY": "The retry schedule.",
        "REPLAY": "A person who replayed the event.",
        "RECONCILIATION": "A comparison with what the source says of its members.",
        "CORRECTION": "A person who put right what the portal has wrong.",
    },
)
_described(
    AuditAction,
    "A kind of action in the audit trail.",
    {
        "PAYLOADS_READ": "Read the bodies of events.",
        "VALUES_READ": "Read what the fields of members were before and after events.",
        "EVENTS_REPLAYED": "Replayed events.",
        "ROLE_ACCESS_SET": "Set the access level of a role.",
        "MEMBERSHIP_CORRECTED": "Corrected what the portal has wrong of a member.",
        "RECONCILIATION_STARTED": "Asked for a comparison of a source.",
        "HELD_RELEASED": "Released what the deletion guard had held back.",
        "CONCERN_ACKNOWLEDGED": "Took on a concern.",
        "MEMBER_FORGOTTEN": "Removed everything about a person.",
        "PERSON_EXPORTED": "Exported what is held about a person, for the person.",
        "HELD_DISCARDED": "Decided that what the deletion guard had held back stays as it is here.",
    },
)
_described(
    ReconciliationKind,
    "What a run compares.",
    {
        "DELTA": "What has changed in the portal since it was read last, or single members.",
        "FULL": "All members of the portal.",
        "FILE": "A file of members.",
    },
)
_described(
    ReconciliationStatus,
    "The status of a run.",
    {
        "RUNNING": "It is under way.",
        "SUCCEEDED": "Everything is compared, and what differed is put right.",
        "FAILED": "It did not end; `detail` says why. What was read was not applied.",
        "HELD": "As SUCCEEDED, but the deletion guard holds back what waits for a decision.",
    },
)
_described(
    DriftAction,
    "What a run did about a difference.",
    {
        "APPLIED": "What the source says was applied.",
        "HELD": "The deletion guard holds it back.",
        "BEATEN": "What is here stays: a later statement says so.",
        "CORRECTED": "What is here stays: somebody has corrected it.",
        "DISCARDED": "What is here stays: somebody has decided so.",
        "FOUND": "Nothing, since the run was a dry run: what the source says would be applied, or "
        "held back if that is too much.",
    },
)
_described(
    ChangeOperation,
    "The kind of a change for this viewer and the filter of the subscription.",
    {
        "ADDED": "It became visible, or matches the filter from now on.",
        "UPDATED": "It changed and was visible before.",
        "REMOVED": "It is no longer visible, or no longer matches the filter.",
    },
)
_described(
    MemberOrderField,
    "A field that members can be ordered by.",
    {
        "NAME": "Family name, then given name, in Norwegian alphabetical order.",
        "MEMBER_NUMBER": "Member number, in numerical order.",
        "UPDATED_AT": "The time of the last change.",
    },
)
_described(
    OrderDirection,
    "The direction of an order.",
    {"ASC": "Ascending.", "DESC": "Descending."},
)
_described(
    ResyncReason,
    "The reason why a stream cannot continue. Query again, then subscribe after that.",
    {
        "CURSOR_EXPIRED": "The changes after the cursor are no longer kept.",
        "SLOW_CONSUMER": "The client reads too slowly.",
        "ACCESS_CHANGED": "The viewer's access or the access level of a role has changed.",
    },
)
_described(
    ConcernKind,
    "A kind of matter that somebody must look after, the most urgent first.",
    {
        "REFUSED_DEACTIVATION": "A deactivation was rejected or ignored, so that somebody may keep "
        "access.",
        "REFUSALS": "Deliveries of a source do not prove who sent them, or come too late.",
        "STORAGE": "The database cannot be written, or its disk is almost full.",
        "DEAD": "Events have failed for so long that they are no longer retried.",
        "WAITING": "An event has been waiting for more than a minute.",
        "REJECTIONS": "Events were rejected, since they cannot be read.",
        "UNKNOWN_TYPES": "Events were ignored, since their type is not known here.",
        "MASS_DEACTIVATION": "Within an hour, webhooks deactivated more than ten members and more "
        "than 2 % of all.",
        "HELD": "The deletion guard holds removals back until somebody decides.",
        "SILENCE": "No event of a source was applied for longer than the settings allow.",
        "NEVER_RECEIVED": "A source has never sent anything.",
        "MISSED_WEBHOOKS": "A comparison found changes that a webhook should have told.",
        "DRIFT": "The last comparison failed, or left differences as they are.",
        "OVERTAKEN": "More than ten events of the last day came after newer ones, or tied with "
        "others.",
        "UNDECIDED_ROLES": "Roles have come with events, and nobody has decided their access.",
        "HOMELESS": "Active members or chapters belong to nobody.",
        "CYCLE": "Chapters are below each other in a circle.",
        "SECOND_ROOT": "A chapter stands beside the national body.",
        "SHARED_MEMBER_NUMBER": "Several active members have one member number.",
    },
)
_described(
    ConcernState,
    "The state of a concern.",
    {
        "OPEN": "Nobody has taken it on.",
        "ACKNOWLEDGED": "An administrator has taken it on; it is open again when it grows.",
        "OVER": "There is nothing left to look after.",
    },
)
