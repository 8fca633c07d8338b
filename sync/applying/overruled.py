"""Corrections that stand: those of parts of which the portal says what it had said before."""

from collections.abc import Iterable
from hashlib import sha256

import msgspec
from msgspec import UNSET

from db.queries.members.known_members import HeldRole, KnownMember
from db.stamp import NEVER, stated_by
from db.tables.profile import PROFILE_FIELDS
from db.vocabulary import PortalId
from sync.applying.draft import ORGANIZATION, ROLES, STATE
from sync.events import CORRECTION, Event, EventType, OrganizationStatement


def in_words(roles: Iterable[HeldRole]) -> str | None:
    """Returns the roles as a file writes them."""
    texts = sorted(f"{code}@{where}" if where else code for code, where in roles)
    return "|".join(texts) or None


def fingerprint(portal_id: PortalId, part: str, value: str | None) -> str:
    """Returns a fingerprint of what is said of a part.

    It does not show the value, but who holds the database can try guesses.
    """
    return sha256(msgspec.json.encode([portal_id, part, value])).hexdigest()


def fingerprints_of(known: KnownMember, parts: Iterable[str]) -> dict[str, str]:
    """Returns those of what is known of these parts, without parts that are corrected already."""
    values = {
        **known.profile,
        ORGANIZATION: known.home,
        ROLES: in_words(known.roles),
        STATE: known.state.value,
    }
    return {
        part: fingerprint(known.portal_id, part, values[part])
        for part in parts
        if not _is_corrected(known, part)
    }


def is_overruled(known: KnownMember, part: str, there: str | None) -> bool:
    """Returns True if a correction stands against what the source says of this part now."""
    if not _is_corrected(known, part):
        return False
    last_said = known.overruled.get(part)
    return last_said is None or last_said == fingerprint(known.portal_id, part, there)


def without_overruled(body: bytes, event: Event, known: KnownMember) -> bytes:
    """Returns the body of a statement of everything without the parts whose correction stands."""
    parts = {part for part, there in _stated(event).items() if is_overruled(known, part, there)}
    if not parts:
        return body
    document = msgspec.json.decode(body)
    # A deactivation states the state by its type alone.
    document["type"] = EventType.MEMBERSHIP_STATED.value
    data = document["data"]
    if STATE not in parts and event.state is not None:
        data[STATE] = event.state.value
    for part in parts:
        data.pop(part, None)
        data["member"].pop(PROFILE_FIELDS.get(part, part), None)
    return msgspec.json.encode(document)


def _stated(event: Event) -> dict[str, str | None]:
    stated: dict[str, str | None] = dict(event.profile)
    if event.organization is not UNSET:
        home = event.organization
        stated[ORGANIZATION] = home.id if isinstance(home, OrganizationStatement) else None
    if event.roles is not None:
        stated[ROLES] = in_words((role.code, role.organization_id) for role in event.roles)
    if event.state is not None:
        stated[STATE] = event.state.value
    return stated


def _is_corrected(known: KnownMember, part: str) -> bool:
    stamp = known.as_of.get(part, NEVER)
    return stamp != NEVER and stated_by(stamp) == CORRECTION
