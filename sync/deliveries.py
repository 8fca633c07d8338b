"""Deliveries on their way into the sync log, and the receipts that tell what became of them."""

import hashlib
from datetime import datetime

import msgspec

from db.vocabulary import SyncOutcome, SyncStatus
from sync.errors import NotJsonError, RejectedError
from sync.events import Event, UnknownEvent, parse_event


class Delivery(msgspec.Struct, frozen=True):
    """An authenticated delivery. `content` is its event, an event of an unknown type, or the reason
    why the body is neither. `conflict`: its event id belongs to a different body."""

    source: str
    event_id: str
    received_at: datetime
    body: bytes
    content: Event | UnknownEvent | RejectedError
    conflict: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.source, self.event_id


class Receipt(msgspec.Struct, frozen=True):
    """The result of a delivery. `malformed`: the body was not JSON."""

    status: SyncStatus
    outcome: SyncOutcome | None = None
    detail: str | None = None
    conflict: bool = False
    malformed: bool = False


def read_delivery(source: str, event_id: str, received_at: datetime, body: bytes) -> Delivery:
    """Parses the body. Raises nothing: what is wrong with it becomes the content."""
    content: Event | UnknownEvent | RejectedError
    try:
        content = parse_event(body)
    except RejectedError as error:
        content = error
    return Delivery(source, event_id, received_at, body, content)


def conflicting(delivery: Delivery) -> Delivery:
    """Returns the delivery under an id of its own, to be recorded as REJECTED."""
    digest = hashlib.sha256(delivery.body).hexdigest()[:16]
    message = f"The event id {delivery.event_id} was used before, for a different body."
    return msgspec.structs.replace(
        delivery,
        event_id=f"{delivery.event_id}~{digest}",
        content=RejectedError(message),
        conflict=True,
    )


def receipt_of(
    delivery: Delivery, status: SyncStatus, outcome: SyncOutcome | None, detail: str | None
) -> Receipt:
    """Returns the receipt for a delivery whose entry has this status, outcome and detail."""
    malformed = isinstance(delivery.content, NotJsonError)
    return Receipt(status, outcome, detail, delivery.conflict, malformed)
