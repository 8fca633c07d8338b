"""Writes events as the portal sends them, byte for byte."""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from sync.simulator.chapters import PortalOrganization
from sync.simulator.register import HeldRole, PortalMember

PortalEventType = Literal[
    "membership-created",
    "membership-updated",
    "role-updated",
    "membership-deactivated",
    "membership-reactivated",
]


@dataclass(frozen=True, slots=True)
class PortalEvent:
    """An event; `body` is what a delivery carries and what is signed."""

    id: str
    type: PortalEventType
    member_id: str
    body: bytes


class PortalProfile(msgspec.Struct, frozen=True, rename="camel"):
    """The `member` object of an event. UNSET fields are absent (unchanged), None is `null`
    (cleared)."""

    id: str
    member_number: str | UnsetType = UNSET
    given_name: str | UnsetType = UNSET
    family_name: str | UnsetType = UNSET
    email: str | UnsetType | None = UNSET
    phone: str | UnsetType | None = UNSET

    @classmethod
    def whole(cls, member: PortalMember) -> "PortalProfile":
        return cls(
            id=member.id,
            member_number=member.member_number,
            given_name=member.given_name,
            family_name=member.family_name,
            email=member.email,
            phone=member.phone,
        )


class Data(msgspec.Struct, frozen=True):
    """The `data` object of an event."""

    member: PortalProfile
    organization: PortalOrganization | UnsetType = UNSET
    roles: tuple[HeldRole, ...] | UnsetType = UNSET
    reason: str | UnsetType = UNSET


class _Body(msgspec.Struct, frozen=True):
    type: PortalEventType
    timestamp: str
    data: Data


_ENCODER = msgspec.json.Encoder()


def portal_event(type: PortalEventType, at: datetime, data: Data) -> PortalEvent:
    """Returns the event as it is delivered. `at` is aware and is written in milliseconds.

    The id is a hash of the body. A demo that was killed before its last snapshot repeats its draws
    at other times; drawn ids would come back with other bodies, which the receiver has to refuse.
    """
    body = _ENCODER.encode(_Body(type, timestamp(at), data))
    return PortalEvent(
        f"evt_{blake2b(body, digest_size=12).hexdigest()}", type, data.member.id, body
    )


def timestamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
