"""Events as a portal would write them, with everything a test does not care about filled in."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

# Long ago, so that no machine's clock takes the tests' events for ones of the future.
EPOCH = datetime(2024, 11, 1, 9, 0, tzinfo=UTC)


def guid(name: str) -> str:
    """The same name gives the same GUID."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def at(minutes: float) -> str:
    """A time in the portal, so many minutes after the tests' epoch."""
    return (EPOCH + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


def organization(name: str = "HLF Oslo", parent: str | None = None) -> dict[str, Any]:
    return {"id": guid(name), "name": name, "parentId": guid(parent) if parent else None}


def role(code: str, organization: str | None = None) -> dict[str, Any]:
    return {"code": code, **({"organizationId": guid(organization)} if organization else {})}


def event(type: str, member: str, when: float = 0, **data: Any) -> dict[str, Any]:
    """`profile` holds further fields of the member."""
    profile = data.pop("profile", {})
    return {
        "type": type,
        "timestamp": at(when),
        "data": {"member": {"id": guid(member), **profile}, **data},
    }


def created(member: str = "Kari", when: float = 0, **data: Any) -> dict[str, Any]:
    data.setdefault("organization", organization())
    data.setdefault("roles", [role("member")])
    data.setdefault("profile", {"givenName": member, "familyName": "Nordmann"})
    return event("membership-created", member, when, **data)


def updated(member: str = "Kari", when: float = 1, **data: Any) -> dict[str, Any]:
    return event("membership-updated", member, when, **data)


def role_updated(
    member: str = "Kari", when: float = 1, *, roles: list[dict[str, Any]], **data: Any
) -> dict[str, Any]:
    return event("role-updated", member, when, roles=roles, **data)


def deactivated(member: str = "Kari", when: float = 1, **data: Any) -> dict[str, Any]:
    return event("membership-deactivated", member, when, **data)


def reactivated(member: str = "Kari", when: float = 2, **data: Any) -> dict[str, Any]:
    return event("membership-reactivated", member, when, **data)


def organization_updated(chapter: str, when: float = 1, /, **stated: Any) -> dict[str, Any]:
    """An event about the chapter of this name alone."""
    return {
        "type": "organization-updated",
        "timestamp": at(when),
        "data": {"organization": {"id": guid(chapter), **stated}},
    }


def body_of(event: dict[str, Any]) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode()
