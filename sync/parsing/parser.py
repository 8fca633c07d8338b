"""Parses an event. What is needed to act is who, what and when; everything beside it is mended.

Unknown fields are ignored. What was mended or ignored is remarked on in the event.
"""

from datetime import datetime
from typing import Any

from msgspec import UNSET, UnsetType

from db.tables.profile import PROFILE_FIELDS
from db.vocabulary import ActivationState, PortalId
from sync import remarks
from sync.errors import NotAnEventError
from sync.events import (
    AnyEvent,
    ChapterEvent,
    Event,
    EventType,
    OrganizationStatement,
    Outline,
    RoleStatement,
    RowMessage,
    UnknownEvent,
)
from sync.parsing.body import read_json
from sync.parsing.spelling import known_type, similar_type
from sync.parsing.texts import Texts, is_blank, read_flag, read_id, read_sequence, read_state
from sync.parsing.times import read_time

LONGEST_TYPE = 100
LONGEST_CODE = 100
LONGEST_NAME = 200
LONGEST_REASON = 1000
MAX_ROLES = 100


_STATES = {
    EventType.MEMBERSHIP_CREATED: ActivationState.ACTIVE,
    EventType.MEMBERSHIP_REACTIVATED: ActivationState.ACTIVE,
    EventType.MEMBERSHIP_DEACTIVATED: ActivationState.INACTIVE,
}
# In these, a profile field or an organization that is null is cleared.
_CLEARING = (EventType.MEMBERSHIP_UPDATED, EventType.MEMBERSHIP_STATED)
_LONGEST_PROFILE = {"email": 320}
"""The limits of profile fields; others have that of names."""


def parse_event(
    body: bytes, *, max_roles: int | None = MAX_ROLES
) -> AnyEvent | RowMessage | UnknownEvent:
    """Raises NotJsonError or NotAnEventError, whose message says what is wrong and where.

    `max_roles` is None for events that were applied before there was a limit.
    """
    value, mended = read_json(body)
    if not isinstance(value, dict):
        raise NotAnEventError(remarks.not_an_object("$"))
    try:
        return _Parser(value, mended, max_roles).parsed()
    except NotAnEventError as error:
        error.outline = _outline(value)
        raise


class _Parser:
    def __init__(self, envelope: dict[str, Any], mended: list[str], max_roles: int | None) -> None:
        self._envelope = envelope
        self._texts = Texts()
        self._texts.remarks += mended
        self._max_roles = max_roles

    def parsed(self) -> AnyEvent | RowMessage | UnknownEvent:
        translation = self._translation()
        if row := read_id(translation.get("lookAt")):
            return RowMessage(row, _outline(self._envelope))
        written = _required_text(self._envelope, "type", "$", LONGEST_TYPE, Texts())
        type = known_type(written)
        if type is None:
            if similar := similar_type(written):
                raise NotAnEventError(remarks.misspelled_type(written, similar.value))
            return UnknownEvent(written, _outline(self._envelope), self._envelope)
        occurred_at = read_time(_required(self._envelope, "timestamp", "$"))
        if occurred_at is None:
            raise NotAnEventError(remarks.not_a_time("$.timestamp"))
        data = _object(_required(self._envelope, "data", "$"), "$.data")
        if type is EventType.ORGANIZATION_UPDATED:
            return self._chapter_event(occurred_at, data, translation)
        member = _object(_required(data, "member", "$.data"), "$.data.member")
        member_id = _required_id(member, "id", "$.data.member")
        merged_id = None
        if type is EventType.MEMBERSHIP_MERGED:
            merged_id = _required_id(data, "mergedId", "$.data")
            if merged_id == member_id:
                raise NotAnEventError(remarks.MERGED_WITH_ITSELF)
        removed = None
        if isinstance(translation.get("removed"), list):
            removed = tuple(_texts_in(translation["removed"]))
        return Event(
            type=type,
            occurred_at=occurred_at,
            member_id=member_id,
            merged_id=merged_id,
            removed=removed,
            profile={} if removed is not None else self._profile(type, member),
            organization=self._organization(type, data),
            roles=self._roles(type, data),
            state=self._state(type, data),
            reason=self._reason(data),
            sequence=self._sequence(),
            only_if_known=translation.get("onlyIfKnown") is True,
            happened_at=read_time(translation.get("happenedAt")),
            read_here=translation.get("readHere") is True,
            remarks=(*self._texts.remarks, *_texts_in(translation.get("remarks"))),
        )

    def _chapter_event(
        self, occurred_at: datetime, data: dict[str, Any], translation: dict[str, Any]
    ) -> ChapterEvent:
        at = "$.data.organization"
        stated = _object(_required(data, "organization", "$.data"), at)
        return ChapterEvent(
            type=EventType.ORGANIZATION_UPDATED,
            occurred_at=occurred_at,
            organization=self._chapter(_required_id(stated, "id", at), stated),
            sequence=self._sequence(),
            happened_at=read_time(translation.get("happenedAt")),
            remarks=(*self._texts.remarks, *_texts_in(translation.get("remarks"))),
        )

    def _translation(self) -> dict[str, Any]:
        """Returns what the translation from another format wrote down: what it could not translate,
        or why there is no event. Raises NotAnEventError for the latter."""
        found = self._envelope.get("translation")
        translation = found if isinstance(found, dict) else {}
        if isinstance(rejected := translation.get("rejected"), str):
            raise NotAnEventError(rejected)
        return translation

    def _profile(self, type: EventType, member: dict[str, Any]) -> dict[str, str | None]:
        profile: dict[str, str | None] = {}
        for field, key in PROFILE_FIELDS.items():
            longest = _LONGEST_PROFILE.get(field, LONGEST_NAME)
            value = self._texts.stated(member.get(key), f"$.data.member.{key}", longest)
            if value is UNSET:
                continue
            if value is not None or _states_absence(type, given=key in member):
                profile[field] = value
        return profile

    def _organization(
        self, type: EventType, data: dict[str, Any]
    ) -> OrganizationStatement | UnsetType | None:
        at = "$.data.organization"
        stated = data.get("organization")
        if stated is None:
            if type is EventType.MEMBERSHIP_CREATED:
                raise NotAnEventError(remarks.missing(at))
            cleared = "organization" in data and type in _CLEARING
            return None if cleared else UNSET
        if not isinstance(stated, dict):
            self._texts.remarks.append(remarks.unreadable(at))
            return UNSET
        if is_blank(stated.get("id")):
            return self._no_home(type, f"{at}.id")
        id = read_id(stated["id"])
        if id is None:
            self._texts.remarks.append(remarks.unreadable(f"{at}.id"))
            return UNSET
        return self._chapter(id, stated)

    def _chapter(self, id: PortalId, stated: dict[str, Any]) -> OrganizationStatement:
        at = "$.data.organization.name"
        name = self._texts.stated(stated.get("name"), at, LONGEST_NAME)
        return OrganizationStatement(id, name or UNSET, self._parent(stated), self._closed(stated))

    def _no_home(self, type: EventType, at: str) -> UnsetType | None:
        if type is EventType.MEMBERSHIP_CREATED or type in _CLEARING:
            self._texts.remarks.append(remarks.blank_home(at))
            return None
        self._texts.remarks.append(remarks.unreadable(at))
        return UNSET

    def _parent(self, organization: dict[str, Any]) -> PortalId | UnsetType | None:
        if "parentId" not in organization:
            return UNSET
        stated = organization["parentId"]
        if is_blank(stated):
            return None
        parent = read_id(stated)
        if parent is None:
            self._texts.remarks.append(remarks.unreadable("$.data.organization.parentId"))
            return UNSET
        return parent

    def _closed(self, organization: dict[str, Any]) -> bool | UnsetType:
        stated = organization.get("closed")
        if is_blank(stated):
            return UNSET
        closed = read_flag(stated)
        if closed is None:
            self._texts.remarks.append(remarks.unreadable("$.data.organization.closed"))
            return UNSET
        return closed

    def _roles(self, type: EventType, data: dict[str, Any]) -> frozenset[RoleStatement] | None:
        if type is EventType.ROLE_UPDATED:
            return self._required_roles(_required(data, "roles", "$.data"))
        stated = data.get("roles")
        if type is EventType.MEMBERSHIP_CREATED:
            return self._required_roles([] if stated is None else stated)
        if type is not EventType.MEMBERSHIP_STATED or stated is None:
            return None
        try:
            return self._required_roles(stated)
        except NotAnEventError as error:
            # The event may state that somebody is no longer a member, which must count.
            self._texts.remarks += [str(error), remarks.unreadable("$.data.roles")]
            return None

    def _required_roles(self, stated: object) -> frozenset[RoleStatement]:
        at = "$.data.roles"
        if not isinstance(stated, list):
            raise NotAnEventError(remarks.not_a_list(at))
        if self._max_roles is not None and len(stated) > self._max_roles:
            raise NotAnEventError(remarks.too_many_roles(len(stated), self._max_roles))
        return frozenset(self._role(role, f"{at}[{index}]") for index, role in enumerate(stated))

    def _role(self, stated: object, at: str) -> RoleStatement:
        role = _object(stated, at)
        code = _required_text(role, "code", at, LONGEST_CODE, self._texts)
        if is_blank(role.get("organizationId")):
            return RoleStatement(code, None)
        return RoleStatement(code, _required_id(role, "organizationId", at))

    def _state(self, type: EventType, data: dict[str, Any]) -> ActivationState | None:
        if type is not EventType.MEMBERSHIP_STATED:
            return _STATES.get(type)
        stated = data.get("state")
        if is_blank(stated):
            return None
        state = read_state(stated)
        if state is None:
            self._texts.remarks.append(remarks.unreadable("$.data.state"))
        return state

    def _sequence(self) -> int:
        stated = self._envelope.get("sequence")
        if stated is None:
            return 0
        sequence = read_sequence(stated)
        if sequence is None:
            self._texts.remarks.append(remarks.not_a_sequence("$.sequence"))
            return 0
        return sequence

    def _reason(self, data: dict[str, Any]) -> str | None:
        at = "$.data.reason"
        return self._texts.stated(data.get("reason"), at, LONGEST_REASON, cut=True) or None


def _states_absence(type: EventType, *, given: bool) -> bool:
    """Returns True if a field without a value means that there is none: `membership-created` states
    the whole profile, and in others null clears a field."""
    return type is EventType.MEMBERSHIP_CREATED or (given and type in _CLEARING)


def _texts_in(value: object) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _required(holder: dict[str, Any], key: str, at: str) -> Any:
    value = holder.get(key)
    if value is None:
        raise NotAnEventError(remarks.missing(f"{at}.{key}"))
    return value


def _object(value: object, at: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise NotAnEventError(remarks.not_an_object(at))
    return value


def _required_id(holder: dict[str, Any], key: str, at: str) -> PortalId:
    id = read_id(_required(holder, key, at))
    if id is None:
        raise NotAnEventError(remarks.not_an_id(f"{at}.{key}"))
    return id


def _required_text(holder: dict[str, Any], key: str, at: str, longest: int, texts: Texts) -> str:
    text = texts.clean(_required(holder, key, at), f"{at}.{key}")
    if not text or len(text) > longest:
        raise NotAnEventError(remarks.not_a_text(f"{at}.{key}", longest))
    return text


def _outline(envelope: dict[str, Any]) -> Outline:
    """Returns what can be read of an event that is not applied."""
    type = Texts().stated(envelope.get("type"), "$.type", LONGEST_TYPE) or None
    known = known_type(type) if type else None
    data = envelope.get("data")
    data = data if isinstance(data, dict) else {}
    return Outline(
        type=known.value if known else type,
        occurred_at=read_time(envelope.get("timestamp")),
        member_id=_id_within(data.get("member")),
        organization_id=_id_within(data.get("organization")),
    )


def _id_within(value: object) -> PortalId | None:
    return read_id(value.get("id")) if isinstance(value, dict) else None
