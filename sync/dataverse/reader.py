"""Reads a delivery of Dataverse: a message of the portal becomes events of our own format.

What is stored of a message are these events and where they come from. Columns that are not in the
mapping are stored nowhere.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from sync.dataverse.mapping import PortalMapping
from sync.dataverse.messages import Message, decode_body, read_message
from sync.dataverse.pointers import members_to_read, merge_of
from sync.dataverse.statements import (
    Foreign,
    document_of,
    require_environment,
    statements_of,
    type_of,
)
from sync.errors import NotAnEventError, NotJsonError
from sync.events import EventType
from sync.intake.sources import Headers
from sync.recording.deliveries import Delivery, read_delivery

# A URL is proved to exist by a message of this name, to be answered with 200.
_HANDSHAKE = "URL_VALIDATION"
_TOO_LARGE = b"x-ms-dynamics-msg-size-exceeded"
_KEPT_HEADERS = (
    b"x-ms-dynamics-organization",
    b"x-ms-dynamics-entity-name",
    b"x-ms-dynamics-request-name",
    b"x-ms-correlation-request-id",
    _TOO_LARGE,
)


class MessageReader:
    """Translates messages by the mapping.

    With `reads_rows`, a message only points at the rows that are read for it. Without, what it says
    is all there is.
    """

    def __init__(self, mapping: PortalMapping, *, reads_rows: bool = False) -> None:
        self._mapping = mapping
        self._reads_rows = reads_rows

    def __call__(
        self, source: str, event_id: str, received_at: datetime, headers: Headers, body: bytes
    ) -> Sequence[Delivery]:
        if headers.get(b"x-ms-dynamics-request-name") == _HANDSHAKE.encode():
            return []
        try:
            document = decode_body(body)
        except NotJsonError as error:
            return [Delivery(source, event_id, received_at, body, error)]
        except NotAnEventError as error:
            return [_delivery(source, event_id, received_at, _rejected("message", error, {}))]
        if document.get("MessageName") == _HANDSHAKE:
            return []
        event_id = _event_id(document, body)
        first, *others = self._documents(document, headers, received_at)
        return [
            _delivery(source, event_id, received_at, first),
            *(
                _delivery(source, f"{event_id}.{number}", received_at, other)
                for number, other in enumerate(others, start=2)
            ),
        ]

    def _documents(
        self, document: Mapping[str, Any], headers: Headers, received_at: datetime
    ) -> list[dict[str, Any]]:
        """Returns the events of a message, or one that says why there are none."""
        origin = {"headers": _kept(headers)}
        try:
            message = read_message(document, stripped=_TOO_LARGE in headers)
        except NotAnEventError as error:
            return [_rejected("message", error, origin)]
        origin |= _origin(message)
        try:
            # What a chapter's row says is told by the message itself.
            if self._reads_rows and message.table != self._mapping.organization.entity:
                return self._pointers(message, origin, received_at)
            statements = statements_of(message, self._mapping, received_at)
        except NotAnEventError as error:
            return [_rejected(type_of(message), error, origin)]
        return [
            {"type": statement.type, "dataverse": origin}
            if isinstance(statement, Foreign)
            else document_of(statement, origin)
            for statement in statements
        ]

    def _pointers(
        self, message: Message, origin: Mapping[str, Any], received_at: datetime
    ) -> list[dict[str, Any]]:
        require_environment(message, self._mapping)
        members = members_to_read(message, self._mapping)
        if not members:
            return [{"type": type_of(message), "dataverse": origin}]
        at = (message.created_at or received_at).isoformat()
        merge = merge_of(message, self._mapping)
        merges: list[dict[str, Any]] = []
        if merge is not None:
            survivor, merged = merge
            # The row that was merged into the other one tells nothing of the person any more.
            members = [survivor]
            merges.append(
                {
                    "type": EventType.MEMBERSHIP_MERGED.value,
                    "timestamp": at,
                    "data": {"member": {"id": survivor}, "mergedId": merged},
                    "translation": {"onlyIfKnown": True},
                    "dataverse": origin,
                }
            )
        pointers: list[dict[str, Any]] = [
            {
                "type": type_of(message),
                "timestamp": at,
                "data": {"member": {"id": member}},
                "translation": {"lookAt": member},
                "dataverse": origin,
            }
            for member in members
        ]
        return pointers + merges


def _delivery(
    source: str, event_id: str, received_at: datetime, document: Mapping[str, Any]
) -> Delivery:
    return read_delivery(source, event_id, received_at, msgspec.json.encode(document))


def _rejected(type: str, error: NotAnEventError, origin: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": type, "translation": {"rejected": str(error)}, "dataverse": origin}


def _event_id(document: Mapping[str, Any], body: bytes) -> str:
    """Computes the id of an event from its body, organization and step: two steps may send the same
    operation, and the organization need not be in the body."""
    step = document.get("OwningExtension")
    parts = (
        document.get("OrganizationId"),
        step.get("Id") if isinstance(step, dict) else None,
    )
    digest = hashlib.sha256("\n".join(str(part) for part in parts).encode())
    digest.update(b"\n" + body)
    return f"sha256-{digest.hexdigest()}"


def _origin(message: Message) -> dict[str, Any]:
    return {
        "message": message.name,
        "table": message.table,
        "id": message.id,
        "organizationId": message.organization_id,
        "stepId": message.step_id,
    }


def _kept(headers: Headers) -> dict[str, str]:
    """Returns the headers that are stored with the body, since a replay has only what is stored."""
    return {
        name.decode(): headers[name].decode("latin-1") for name in _KEPT_HEADERS if name in headers
    }
