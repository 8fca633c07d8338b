"""Writes what is kept of an event when its values are removed: who, what, when, where, which roles.

What is written is read by the parser like any other body, and states the same except the profile
and the reason.
"""

from typing import Any

import msgspec
from msgspec import UNSET

from sync.events import AnyEvent, Event, EventType, OrganizationStatement, RowMessage


def reduced_body(event: AnyEvent | RowMessage) -> bytes:
    if isinstance(event, RowMessage):
        return msgspec.json.encode(
            {
                "type": event.outline.type,
                "timestamp": event.outline.occurred_at,
                "data": {"member": {"id": event.member_id}},
                "translation": {"lookAt": event.member_id},
            }
        )
    translation: dict[str, Any] = {}
    if event.happened_at is not None:
        translation["happenedAt"] = event.happened_at
    data: dict[str, Any]
    if isinstance(event, Event):
        data = _of_member(event)
        translation["removed"] = event.without_values().removed
        if event.only_if_known:
            translation["onlyIfKnown"] = True
        if event.read_here:
            translation["readHere"] = True
    else:
        data = {"organization": _of_chapter(event.organization)}
    body: dict[str, Any]
    body = {"type": event.type.value, "timestamp": event.occurred_at, "data": data}
    if event.sequence:
        body["sequence"] = event.sequence
    if translation:
        body["translation"] = translation
    return msgspec.json.encode(body)


def _of_member(event: Event) -> dict[str, Any]:
    data: dict[str, Any] = {"member": {"id": event.member_id}}
    if event.merged_id is not None:
        data["mergedId"] = event.merged_id
    if isinstance(event.organization, OrganizationStatement):
        data["organization"] = _of_chapter(event.organization)
    elif event.organization is None:
        data["organization"] = {"id": ""}
    elif event.type is EventType.MEMBERSHIP_CREATED:
        # It must name one, and this one could not be read.
        data["organization"] = "unreadable"
    if event.roles is not None:
        data["roles"] = [
            {"code": role.code, "organizationId": role.organization_id}
            for role in sorted(event.roles, key=lambda it: (it.code, it.organization_id or ""))
        ]
    if event.state is not None and event.type is EventType.MEMBERSHIP_STATED:
        data["state"] = event.state.value
    return data


def _of_chapter(stated: OrganizationStatement) -> dict[str, Any]:
    chapter: dict[str, Any] = {"id": stated.id}
    if stated.name is not UNSET:
        chapter["name"] = stated.name
    if stated.parent_id is not UNSET:
        chapter["parentId"] = stated.parent_id
    if stated.closed is not UNSET:
        chapter["closed"] = stated.closed
    return chapter
