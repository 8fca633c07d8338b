"""Events as the portal sends them, byte for byte. It knows their form, not when one happens."""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from sync.simulator.chapters import Organization
from sync.simulator.register import HeldRole, Member

EventType = Literal[
    "membership-created",
    "membership-updated",
    "role-updated",
    "membership-deactivated",
    "membership-reactivated",
]


@dataclass(frozen=True, slots=True)
class PortalEvent:
    """One fact from the portal; `body` is what a delivery carries and what is signed."""

    id: str
    type: EventType
    member_id: str
    body: bytes


class Profile(msgspec.Struct, frozen=True, rename="camel"):
    """The `member` part of an event: unset is absent (unchanged), None is null (cleared)."""

    id: str
    member_number: str | UnsetType = UNSET
    given_name: str | UnsetType = UNSET
    family_name: str | UnsetType = UNSET
    email: str | UnsetType | None = UNSET
    phone: str | UnsetType | None = UNSET

    @classmethod
    def whole(cls, member: Member) -> "Profile":
        return cls(
            id=member.id,
            member_number=member.member_number,
            given_name=member.given_name,
            family_name=member.family_name,
            email=member.email,
            phone=member.phone,
        )


class Data(msgspec.Struct, frozen=True):
    """The `data` part of an event."""

    member: Profile
    organization: Organization | UnsetType = UNSET
    roles: tuple[HeldRole, ...] | UnsetType = UNSET
    reason: str | UnsetType = UNSET


class _Body(msgspec.Struct, frozen=True):
    type: EventType
    timestamp: str
    data: Data


_ENCODER = msgspec.json.Encoder()


def portal_event(type: EventType, at: datetime, data: Data) -> PortalEvent:
    """The event as it is delivered; `at` is aware and is written in milliseconds.

    The id follows from the body. A demo killed before its last snapshot repeats its draws at
    other times: drawn ids would then come back with other bodies, which a receiver must refuse.
    """
    body = _ENCODER.encode(_Body(type, timestamp(at), data))
    return PortalEvent(
        f"evt_{blake2b(body, digest_size=12).hexdigest()}", type, data.member.id, body
    )


def timestamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
