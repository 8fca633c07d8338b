"""Deliveries on their way into the sync log, and the receipts that tell what became of them."""

import hashlib
from datetime import datetime

import msgspec

from db.vocabulary import AttemptTrigger, SyncOutcome, SyncStatus
from sync import remarks
from sync.errors import NotJsonError, RejectedError
from sync.events import AnyEvent, Event, Outline, RowMessage, UnknownEvent
from sync.parsing.parser import parse_event

Content = AnyEvent | RowMessage | UnknownEvent | RejectedError
"""The body of a delivery: an event, a message that points at a row, an event of an unknown type, or
the reason why it is none of them."""


class Delivery(msgspec.Struct, frozen=True):
    """An authenticated delivery. `conflict`: its event id belongs to another event. `actor` and
    `reason` are of a person who states something here, and kept in the history of its entry."""

    source: str
    event_id: str
    received_at: datetime
    body: bytes
    content: Content
    conflict: bool = False
    trigger: AttemptTrigger = AttemptTrigger.DELIVERY
    actor: str | None = None
    reason: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.source, self.event_id

    @property
    def outline(self) -> Outline:
        """Returns what can be read of a body that is not applied."""
        return outline_of(self.content)


class Receipt(msgspec.Struct, frozen=True):
    """The result of a delivery. `malformed`: the body was not JSON."""

    status: SyncStatus
    outcome: SyncOutcome | None = None
    detail: str | None = None
    conflict: bool = False
    malformed: bool = False


def read_delivery(source: str, event_id: str, received_at: datetime, body: bytes) -> Delivery:
    """Parses the body. Raises nothing: what is wrong with it becomes the content."""
    return Delivery(source, event_id, received_at, body, read_content(body))


def read_content(body: bytes) -> Content:
    """Returns what the body is; raises nothing."""
    try:
        return parse_event(body)
    except RejectedError as error:
        return error


def outline_of(content: Content) -> Outline:
    """Returns type, time, person and chapter, as far as they can be read."""
    return content.outline() if isinstance(content, AnyEvent) else content.outline


def is_repetition(delivery: Delivery, body: bytes, content: Content) -> bool:
    """Returns True if the delivery says the same as another one with this body and content: if the
    bodies are equal, or differ only in how the same event is written."""
    if delivery.body == body or not body:
        # Without a body, nobody can tell any more, and what repeats is harmless.
        return True
    if isinstance(delivery.content, RowMessage):
        # Its id is made of all it says; its body has been replaced by what the row says.
        return True
    if isinstance(content, Event) and content.removed is not None:
        said = delivery.content
        return isinstance(said, Event) and said.without_values() == content.without_values()
    if isinstance(content, AnyEvent) and isinstance(delivery.content, AnyEvent):
        return delivery.content.without_remarks() == content.without_remarks()
    return isinstance(content, UnknownEvent) and delivery.content == content


def conflicting(delivery: Delivery) -> Delivery:
    """Returns the delivery under an id of its own, to be recorded as REJECTED."""
    digest = hashlib.sha256(delivery.body).hexdigest()[:16]
    return msgspec.structs.replace(
        delivery,
        event_id=f"{delivery.event_id}~{digest}",
        content=RejectedError(remarks.conflict(delivery.event_id), delivery.outline),
        conflict=True,
    )


def receipt_of(
    delivery: Delivery, status: SyncStatus, outcome: SyncOutcome | None, detail: str | None
) -> Receipt:
    """Returns the receipt for a delivery whose entry has this status, outcome and detail."""
    malformed = isinstance(delivery.content, NotJsonError)
    return Receipt(status, outcome, detail, delivery.conflict, malformed)
