"""Events as the portal sends them, and their parser.

Parsed events are clean: ids in canonical form, text without surrounding blanks and control
characters, times in UTC. Unknown fields are ignored.
"""

import json
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from db.tables.profile import PROFILE_FIELDS
from db.vocabulary import ActivationState, PortalId, canonical_portal_id
from sync.errors import NotAnEventError, NotJsonError

T = TypeVar("T")


class EventType(StrEnum):
    MEMBERSHIP_CREATED = "membership-created"
    MEMBERSHIP_UPDATED = "membership-updated"
    ROLE_UPDATED = "role-updated"
    MEMBERSHIP_DEACTIVATED = "membership-deactivated"
    MEMBERSHIP_REACTIVATED = "membership-reactivated"
    MEMBERSHIP_STATED = "membership-stated"


_STATES = {
    EventType.MEMBERSHIP_CREATED: ActivationState.ACTIVE,
    EventType.MEMBERSHIP_REACTIVATED: ActivationState.ACTIVE,
    EventType.MEMBERSHIP_DEACTIVATED: ActivationState.INACTIVE,
}
# In these, a profile field or an organization that is null is cleared.
_CLEARING = (EventType.MEMBERSHIP_UPDATED, EventType.MEMBERSHIP_STATED)

Id = Annotated[str, Meta(min_length=1, max_length=100)]
Name = Annotated[str, Meta(max_length=200)]
Email = Annotated[str, Meta(max_length=320)]
Reason = Annotated[str, Meta(max_length=1000)]
MAX_ROLES = 100


class MemberJson(msgspec.Struct, rename="camel", frozen=True):
    id: Id
    member_number: Name | UnsetType | None = UNSET
    given_name: Name | UnsetType | None = UNSET
    family_name: Name | UnsetType | None = UNSET
    email: Email | UnsetType | None = UNSET
    phone: Name | UnsetType | None = UNSET


class OrganizationJson(msgspec.Struct, rename="camel", frozen=True):
    id: Id
    name: Name | UnsetType | None = UNSET
    parent_id: Id | UnsetType | None = UNSET


class RoleJson(msgspec.Struct, rename="camel", frozen=True):
    code: Id
    organization_id: Id | None = None


class DataJson(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    member: MemberJson
    organization: OrganizationJson | UnsetType | None = UNSET
    roles: list[RoleJson] | None = None
    state: ActivationState | None = None
    reason: Reason | None = None


class CreatedJson(DataJson, rename="camel", frozen=True, kw_only=True):
    organization: OrganizationJson


class RolesJson(DataJson, rename="camel", frozen=True, kw_only=True):
    roles: list[RoleJson]


class TranslationJson(msgspec.Struct, rename="camel", frozen=True):
    """Written by whoever translates another format into this one: what could not be translated, or
    why nothing could, and whether the event is about people who are known here only."""

    remarks: list[str] = []
    rejected: str | None = None
    only_if_known: bool = False


class EnvelopeJson(msgspec.Struct, frozen=True):
    type: Annotated[str, Meta(min_length=1, max_length=100)]
    timestamp: msgspec.Raw = msgspec.Raw(b"")
    data: msgspec.Raw = msgspec.Raw(b"")
    translation: msgspec.Raw = msgspec.Raw(b"")


# Unicode's category Cc.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_PROFILE_PATHS = {field: f"$.data.member.{name}" for field, name in PROFILE_FIELDS.items()}


class OrganizationStatement(msgspec.Struct, frozen=True):
    """A statement about a chapter; UNSET fields are not stated."""

    id: PortalId
    name: str | UnsetType = UNSET
    parent_id: PortalId | UnsetType | None = UNSET


class RoleStatement(msgspec.Struct, frozen=True):
    code: str
    organization_id: PortalId | None


class Event(msgspec.Struct, frozen=True):
    """A fact from the portal. `profile` holds the stated fields; None clears one.

    `organization` is None if the home organization is cleared, and UNSET if it is not stated.
    `roles` is the complete set, or None if roles are not stated; `state` likewise.
    `only_if_known`: it says nothing of a person who is not known here.
    """

    type: EventType
    occurred_at: datetime
    member_id: PortalId
    profile: dict[str, str | None]
    organization: OrganizationStatement | UnsetType | None = UNSET
    roles: frozenset[RoleStatement] | None = None
    state: ActivationState | None = None
    reason: str | None = None
    only_if_known: bool = False
    remarks: list[str] = []

    def organization_ids(self) -> set[PortalId]:
        """Returns the ids of all chapters that the event mentions."""
        ids = {role.organization_id for role in self.roles or () if role.organization_id}
        if isinstance(self.organization, OrganizationStatement):
            ids.add(self.organization.id)
            if self.organization.parent_id:
                ids.add(self.organization.parent_id)
        return ids


class UnknownEvent(msgspec.Struct, frozen=True):
    """An event of a type this program does not know."""

    type: str


_envelope = msgspec.json.Decoder(EnvelopeJson)
_translation = msgspec.json.Decoder(TranslationJson)
_NO_TRANSLATION = TranslationJson()
_timestamp = msgspec.json.Decoder(Annotated[datetime, Meta(tz=True)])
_data: dict[EventType, msgspec.json.Decoder[DataJson]] = {
    EventType.MEMBERSHIP_CREATED: msgspec.json.Decoder(CreatedJson),
    EventType.MEMBERSHIP_UPDATED: msgspec.json.Decoder(DataJson),
    EventType.ROLE_UPDATED: msgspec.json.Decoder(RolesJson),
    EventType.MEMBERSHIP_DEACTIVATED: msgspec.json.Decoder(DataJson),
    EventType.MEMBERSHIP_REACTIVATED: msgspec.json.Decoder(DataJson),
    EventType.MEMBERSHIP_STATED: msgspec.json.Decoder(DataJson),
}


def parse_event(body: bytes, *, max_roles: int | None = MAX_ROLES) -> Event | UnknownEvent:
    """Raises NotJsonError or NotAnEventError, whose message says what is wrong and where.

    `max_roles` is None for events that were applied before there was a limit.
    """
    try:
        return _parsed(body, max_roles)
    except UnicodeDecodeError as error:
        raise NotJsonError(f"The body is not JSON: {_in_the_body(body, error)}") from error


def _in_the_body(body: bytes, found: UnicodeDecodeError) -> UnicodeDecodeError:
    """Returns the error with its place in the whole body instead of in a part of it."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return error
    return found


def _parsed(body: bytes, max_roles: int | None) -> Event | UnknownEvent:
    envelope = _decode(_envelope.decode, body, "$")
    translation = _translation_of(envelope)
    if translation.rejected is not None:
        raise NotAnEventError(translation.rejected)
    try:
        type = EventType(envelope.type)
    except ValueError:
        return UnknownEvent(_clean(envelope.type, "$.type") or "?")
    if not envelope.timestamp:
        raise NotAnEventError("Object missing required field `timestamp`")
    if not envelope.data:
        raise NotAnEventError("Object missing required field `data`")
    stated_at = _decode(_timestamp.decode, envelope.timestamp, "$.timestamp")
    data = _decode(_data[type].decode, envelope.data, "$.data")
    return _event(type, _in_utc(stated_at), data, translation, max_roles)


def _translation_of(envelope: EnvelopeJson) -> TranslationJson:
    """Whatever else has a field of this name means something that is not known here."""
    if not envelope.translation:
        return _NO_TRANSLATION
    try:
        return _translation.decode(envelope.translation)
    except msgspec.MsgspecError:
        return _NO_TRANSLATION


def _decode(decode: Callable[[msgspec.Raw | bytes], T], text: msgspec.Raw | bytes, at: str) -> T:
    try:
        return decode(text)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        raise NotAnEventError(f"{message} - at `{at}{path.rstrip('`')}`") from error
    except msgspec.DecodeError as error:
        raise NotJsonError(f"The body is not JSON: {_reason(bytes(text), error)}") from error
    except RecursionError as error:
        raise NotJsonError("The body is nested too deeply.") from error


def _reason(text: bytes, found: msgspec.DecodeError) -> str:
    """Returns why the text is not JSON; half a surrogate pair is told apart from a cut-off text."""
    try:
        json.dumps(json.loads(text), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = f"{ord(error.object[error.start]):04x}"
        return f"`\\u{half}` is half a character, whose other half is missing"
    except (ValueError, RecursionError):
        return str(found)
    return str(found)


def _in_utc(stated_at: datetime) -> datetime:
    try:
        return stated_at.astimezone(UTC)
    except OverflowError as error:
        raise NotAnEventError("The time is out of range - at `$.timestamp`") from error


def _event(
    type: EventType,
    occurred_at: datetime,
    data: DataJson,
    translation: TranslationJson,
    max_roles: int | None,
) -> Event:
    return Event(
        type=type,
        occurred_at=occurred_at,
        member_id=_portal_id(data.member.id, "$.data.member.id"),
        profile=_profile(type, data.member),
        organization=_organization(type, data.organization),
        roles=_roles(type, data.roles, max_roles),
        state=data.state if type is EventType.MEMBERSHIP_STATED else _STATES.get(type),
        reason=_clean(data.reason, "$.data.reason"),
        only_if_known=translation.only_if_known,
        remarks=translation.remarks,
    )


def _profile(type: EventType, member: MemberJson) -> dict[str, str | None]:
    profile: dict[str, str | None] = {}
    for field in PROFILE_FIELDS:
        stated = getattr(member, field)
        value = None if stated is UNSET else _clean(stated, _PROFILE_PATHS[field])
        if value is not None or _states_absence(type, stated is not UNSET):
            profile[field] = value
    return profile


def _states_absence(type: EventType, given: bool) -> bool:
    """Returns True if a field without a value means that there is none: `membership-created` states
    the whole profile, and `membership-updated` clears a field with null."""
    return type is EventType.MEMBERSHIP_CREATED or (given and type in _CLEARING)


def _organization(
    type: EventType, stated: OrganizationJson | UnsetType | None
) -> OrganizationStatement | UnsetType | None:
    if isinstance(stated, OrganizationJson):
        at = "$.data.organization"
        name = UNSET if stated.name is UNSET else _clean(stated.name, f"{at}.name")
        parent = stated.parent_id
        return OrganizationStatement(
            id=_portal_id(stated.id, f"{at}.id"),
            name=name or UNSET,
            parent_id=_portal_id(parent, f"{at}.parentId") if isinstance(parent, str) else parent,
        )
    return stated if type in _CLEARING else UNSET


def _roles(
    type: EventType, stated: list[RoleJson] | None, most: int | None
) -> frozenset[RoleStatement] | None:
    if type is EventType.MEMBERSHIP_CREATED:
        stated = stated or []
    elif type not in (EventType.ROLE_UPDATED, EventType.MEMBERSHIP_STATED):
        stated = None
    if stated is None:
        return None
    if most is not None and len(stated) > most:
        raise NotAnEventError(f"Expected `array` of length <= {most} - at `$.data.roles`")
    return frozenset([_role(role, index) for index, role in enumerate(stated)])


def _role(stated: RoleJson, index: int) -> RoleStatement:
    at = f"$.data.roles[{index}]"
    where = stated.organization_id
    return RoleStatement(
        _required(stated.code, f"{at}.code"),
        _portal_id(where, f"{at}.organizationId") if where else None,
    )


def _portal_id(text: str, at: str) -> PortalId:
    return canonical_portal_id(_required(text, at))


def _required(text: str, at: str) -> str:
    cleaned = _clean(text, at)
    if cleaned is None:
        raise NotAnEventError(f"Expected text that is not blank - at `{at}`")
    return cleaned


def _clean(text: str | None, at: str) -> str | None:
    """Returns the text without surrounding blanks, or None if it is blank: the portal sends empty
    strings for fields that are not filled in."""
    if text is None:
        return None
    cleaned = text.strip()
    if cleaned.isascii():
        if cleaned.isprintable():
            return cleaned or None
    else:
        cleaned = unicodedata.normalize("NFC", cleaned)
    if _CONTROL.search(cleaned):
        raise NotAnEventError(f"Control characters are not allowed - at `{at}`")
    return cleaned or None
