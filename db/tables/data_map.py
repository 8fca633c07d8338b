"""The data map: what each column tells of a person, how long it is kept, whether the person gets
it, and what forgetting the person has to do to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from db.tables.profile import PROFILE_FIELDS


class DataClass(StrEnum):
    """The class of a column. PERSON: who somebody is, or what somebody wrote or did. MEMBERSHIP:
    where and as what somebody belongs, and when. OPERATIONAL: nothing of a single person."""

    PERSON = "person"
    MEMBERSHIP = "membership"
    OPERATIONAL = "operational"


class Kept(StrEnum):
    """The time for which a column is kept."""

    UNLIMITED = "no limit"
    BODY = "`LIKEPERSON_BODY_DAYS`"
    FEED = "`LIKEPERSON_FEED_HOURS`"
    DRIFT = "14 days, until the next run of the source"
    RUN = "365 days, until the next run of the source"


class Erasure(StrEnum):
    """The effect of forgetting a person on a column. DELETE: the row goes. CLEAR: the value goes,
    and the row stays. REPLACE: a text that points to nobody takes its place. KEEP: it stays."""

    DELETE = "row deleted"
    CLEAR = "cleared"
    REPLACE = "replaced"
    KEEP = "kept"


@dataclass(frozen=True, slots=True)
class Handling:
    """The handling of a column. `export`: a person who asks for their own data gets it. `why` is
    the reason for what is kept from the person, or kept of a person who was forgotten."""

    data_class: DataClass
    kept: Kept = Kept.UNLIMITED
    erasure: Erasure = Erasure.DELETE
    export: bool = True
    why: str | None = None


_person = partial(Handling, DataClass.PERSON)
_membership = partial(Handling, DataClass.MEMBERSHIP)


def _operational(erasure: Erasure = Erasure.KEEP, kept: Kept = Kept.UNLIMITED) -> Handling:
    return Handling(DataClass.OPERATIONAL, kept, erasure, export=False)


_PLAIN = _operational()
_ROW_OF_PERSON = _operational(Erasure.DELETE)
_COPY = "It follows from other columns, which are exported."
_OF_ENTRY = "It tells when and how often an event came, and of nobody once the entry names nobody."
_ACTOR = "It is another person who acted; the person is told when, and what was done."
_FOREIGN_ID = "It is the number of a row here and means nothing elsewhere."
_FEED_NUMBER = "It is the number of a row that is gone, and followers need it to remove their copy."

DATA_MAP: Mapping[str, Mapping[str, Handling]] = {
    "organizations": dict.fromkeys(
        (
            *("id", "portal_id", "name", "sort_name", "parent_id", "stated_parent_id"),
            *("closed", "in_cycle", "as_of"),
        ),
        _PLAIN,
    ),
    "members": {
        "id": _person(export=False, why=_FOREIGN_ID),
        "portal_id": _person(),
        **dict.fromkeys(PROFILE_FIELDS, _person()),
        "sort_name": _person(export=False, why=_COPY),
        "number_key": _person(export=False, why=_COPY),
        "search_text": _person(export=False, why=_COPY),
        "state": _membership(),
        "state_changed_at": _membership(),
        "organization_id": _membership(),
        "updated_at": _membership(),
        "unlisted_roles": _membership(),
        "as_of": _membership(),
    },
    "member_merges": {
        "id": _ROW_OF_PERSON,
        "merged_id": _person(),
        "into_id": _person(),
        "stamp": _membership(),
        "person_id": _person(export=False, why=_FOREIGN_ID),
    },
    "roles": dict.fromkeys(("id", "code", "name", "access_level", "decided"), _PLAIN),
    "role_assignments": {
        "id": _ROW_OF_PERSON,
        "member_id": _person(export=False, why=_FOREIGN_ID),
        "role_id": _membership(),
        "organization_id": _membership(),
        "since": _membership(),
    },
    "sync_log": {
        "id": _PLAIN,
        "source": _PLAIN,
        # The sender chooses it, and may have built it from the id of the person.
        "event_id": _person(erasure=Erasure.REPLACE),
        "event_type": _membership(erasure=Erasure.KEEP, why=_OF_ENTRY),
        "occurred_at": _membership(erasure=Erasure.KEEP, why=_OF_ENTRY),
        "received_at": _membership(erasure=Erasure.KEEP, why=_OF_ENTRY),
        "processed_at": _membership(erasure=Erasure.KEEP, why=_OF_ENTRY),
        "status": _membership(erasure=Erasure.KEEP, why=_OF_ENTRY),
        "outcome": _membership(erasure=Erasure.KEEP, why=_OF_ENTRY),
        # It quotes the reason that the portal gave, and values that were mended.
        "detail": _person(Kept.BODY, Erasure.CLEAR),
        "attempts": _PLAIN,
        "deliveries": _PLAIN,
        "next_attempt_at": _operational(Erasure.CLEAR),
        "member_id": _person(erasure=Erasure.CLEAR, export=False, why=_FOREIGN_ID),
        "organization_id": _membership(erasure=Erasure.CLEAR),
        "field_changes": _person(Kept.BODY, Erasure.CLEAR),
        "payload": _person(Kept.BODY, Erasure.CLEAR),
        "body_removed_at": _PLAIN,
        "mark": _operational(Erasure.CLEAR),
    },
    "sync_attempts": {
        "id": _PLAIN,
        "entry_id": _PLAIN,
        "attempted_at": _membership(erasure=Erasure.KEEP, why=_OF_ENTRY),
        "trigger": _membership(erasure=Erasure.KEEP, why=_OF_ENTRY),
        "actor": _person(erasure=Erasure.REPLACE, export=False, why=_ACTOR),
        "reason": _person(Kept.BODY, Erasure.CLEAR),
        "status": _membership(erasure=Erasure.KEEP, why=_OF_ENTRY),
        "outcome": _membership(erasure=Erasure.KEEP, why=_OF_ENTRY),
        "detail": _person(Kept.BODY, Erasure.CLEAR),
    },
    "audit_trail": {
        "id": _PLAIN,
        "recorded_at": _membership(
            erasure=Erasure.KEEP, why="That somebody has looked has to be answered for."
        ),
        # The subject of a member's token is their portal id.
        "actor": _person(erasure=Erasure.REPLACE, export=False, why=_ACTOR),
        "action": _membership(
            erasure=Erasure.KEEP, why="That somebody has looked has to be answered for."
        ),
        "entry_count": _PLAIN,
        "entry_ids": _PLAIN,
        "role_code": _PLAIN,
        "detail": _person(erasure=Erasure.CLEAR),
    },
    "feed_head": dict.fromkeys(("id", "feed_id", "position"), _PLAIN),
    "changes": {
        "position": _PLAIN,
        "committed_at": _PLAIN,
        "member_id": _person(Kept.FEED, Erasure.KEEP, export=False, why=_FEED_NUMBER),
        "entry_id": _PLAIN,
        "access_changed": _PLAIN,
        # The searched text of before and after holds name, number and e-mail.
        "facts": _person(Kept.FEED, Erasure.CLEAR, export=False, why=_COPY),
    },
    "refused_deliveries": dict.fromkeys(
        ("source", "reason", "hour", "count", "last_refused_at", "skew_seconds"), _PLAIN
    ),
    "portal_states": dict.fromkeys(
        ("id", "source", "leased_until", "full_at", "delta_links"), _PLAIN
    ),
    "reconciliations": dict.fromkeys(
        (
            *("id", "source", "kind", "status", "started_at", "finished_at", "compared"),
            *("created", "updated", "deactivated", "missing", "missed", "held", "unlisted"),
            *("dry_run", "detail"),
        ),
        _operational(kept=Kept.RUN),
    ),
    "reconciliation_requests": dict.fromkeys(
        ("id", "source", "whole", "dry_run", "requested_at"), _PLAIN
    ),
    "drift_lines": {
        "id": _ROW_OF_PERSON,
        "reconciliation_id": _ROW_OF_PERSON,
        "portal_id": _person(Kept.DRIFT),
        "field": _membership(Kept.DRIFT),
        "there": _person(Kept.DRIFT),
        "here": _person(Kept.DRIFT),
        "action": _membership(Kept.DRIFT),
    },
    "held_items": {
        "id": _ROW_OF_PERSON,
        "source": _ROW_OF_PERSON,
        "portal_id": _person(),
        "part": _membership(),
        "there": _person(),
        "stated_at": _membership(),
        "held_since": _membership(),
        "discarded": _membership(),
        "reconciliation_id": _ROW_OF_PERSON,
    },
    "overruled_statements": {
        "id": _ROW_OF_PERSON,
        "portal_id": _person(),
        "part": _membership(),
        # Who knows how it is made can try whether a guessed value is the right one.
        "fingerprint": _person(export=False, why="It is a sum that only this program can compare."),
    },
    "forgotten_persons": {
        **dict.fromkeys(("id", "bucket", "last_member_id"), _PLAIN),
        **dict.fromkeys(
            ("key", "tombstone", "as_of", "begun_at", "by_retention", "forgotten_at"),
            _membership(
                erasure=Erasure.KEEP,
                export=False,
                why="It only tells that an id was forgotten, so that old events do not bring it "
                "back.",
            ),
        ),
    },
    "concerns": {
        **dict.fromkeys(("id", "kind", "source", "since"), _PLAIN),
        **dict.fromkeys(("acknowledged_at", "acknowledged_extent"), _PLAIN),
        "acknowledged_by": _person(erasure=Erasure.REPLACE, export=False, why=_ACTOR),
    },
    "alert_states": dict.fromkeys(("id", "leased_until", "told", "written_at"), _PLAIN),
    "schema_compatibility": dict.fromkeys(("id", "oldest"), _PLAIN),
}
"""How each column of each table is handled. docs/operate/data-protection.md shows it."""
