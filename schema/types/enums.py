"""The domain's enumerations as GraphQL shows them, each value described."""

from enum import Enum

import strawberry

from db.queries.member_pages import MemberOrderField
from db.vocabulary import (
    AccessLevel,
    ActivationState,
    AttemptTrigger,
    AuditAction,
    ChangeOperation,
    SyncOutcome,
    SyncStatus,
)
from resolvers.live.messages import ResyncReason


def _described(enum: type[Enum], description: str, values: dict[str, str]) -> None:
    """Makes a GraphQL enum of an enum of the domain, which cannot carry the descriptions itself."""
    strawberry.enum(enum, description=description)
    for value in enum.__strawberry_definition__.values:  # type: ignore[attr-defined]  # set above
        value.description = values[value.name]


class OrderDirection(Enum):
    ASC = "ASC"
    DESC = "DESC"


_described(
    ActivationState,
    "Whether the portal counts a person as a member at this time.",
    {
        "ACTIVE": "A member who can use the app.",
        "INACTIVE": "No longer a member: cannot use the app, and has no access level.",
    },
)
_described(
    AccessLevel,
    "What a member may do in the app. Each level includes those above it in this list.",
    {
        "NONE": "Nothing: the member holds no role, or is inactive.",
        "MEMBER": "An ordinary member: sees themselves.",
        "PEER_MENTOR": "A peer mentor (likeperson): sees themselves.",
        "COORDINATOR": "Sees the members of an organization and of those below it.",
        "ADMIN": "As a coordinator, and sees and replays the sync log there.",
    },
)
_described(
    SyncStatus,
    "Where an event stands.",
    {
        "PENDING": "Recorded, and not tried yet.",
        "SUCCESS": "Applied, or found to be true already.",
        "SKIPPED": "Recorded, with nothing to apply: see the outcome.",
        "FAILED": "Could not be applied for now; it is tried again at `nextAttemptAt`.",
        "DEAD": "Could not be applied for so long that it is no longer tried by itself.",
        "REJECTED": "Not an event that can be read. `detail` says what is wrong with it.",
    },
)
_described(
    SyncOutcome,
    "What an event did.",
    {
        "CREATED": "It made a person known who was not known before.",
        "UPDATED": "It changed the member.",
        "UNCHANGED": "The member was as it says already.",
        "DEACTIVATED": "It made the member inactive.",
        "REACTIVATED": "It made the member active again.",
        "STALE": "Everything it says is older than what is known.",
        "IGNORED": "Its type is not known here.",
    },
)
_described(
    AttemptTrigger,
    "What set an attempt off.",
    {
        "DELIVERY": "The delivery of the event.",
        "RETRY": "The schedule, after an attempt that failed.",
        "REPLAY": "Somebody who asked for it.",
    },
)
_described(
    AuditAction,
    "What is recorded of those who may see or change much.",
    {
        "PAYLOADS_READ": "They read the bodies of events.",
        "EVENTS_REPLAYED": "They had events applied again.",
        "ROLE_ACCESS_SET": "They set what a role gives.",
    },
)
_described(
    ChangeOperation,
    "What a change is from the viewer's side, within the filter of the subscription.",
    {
        "ADDED": "It came into sight, or into the filter.",
        "UPDATED": "It changed, and was in sight before.",
        "REMOVED": "It left the viewer's sight, or the filter.",
    },
)
_described(
    MemberOrderField,
    "What members can be ordered by.",
    {
        "NAME": "Family name, then given name, in Norwegian alphabetical order.",
        "MEMBER_NUMBER": "Member number, as a number.",
        "UPDATED_AT": "Time of the last change.",
    },
)
_described(
    OrderDirection,
    "Which way an order runs.",
    {"ASC": "The smallest or earliest first.", "DESC": "The largest or latest first."},
)
_described(
    ResyncReason,
    "Why a subscription cannot go on from its cursor. Query again, then subscribe after that.",
    {
        "CURSOR_EXPIRED": "The changes after the cursor are no longer kept.",
        "SLOW_CONSUMER": "The client did not read fast enough.",
        "ACCESS_CHANGED": "What the viewer may see, or what roles give, is no longer what it was.",
    },
)
