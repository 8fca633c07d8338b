"""The messages of a live stream, before they are rendered for a client."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Generic, TypeVar

from db.feed.changes import Cursor
from db.vocabulary import ChangeOperation

V = TypeVar("V")


class ResyncReason(Enum):
    """The reason for which a subscriber has to query again before subscribing anew."""

    CURSOR_EXPIRED = "CURSOR_EXPIRED"
    SLOW_CONSUMER = "SLOW_CONSUMER"
    ACCESS_CHANGED = "ACCESS_CHANGED"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Everything up to the cursor was sent."""

    cursor: Cursor
    server_time: datetime


@dataclass(frozen=True, slots=True)
class Resync:
    """The last message of a stream that cannot continue after the cursor."""

    cursor: Cursor
    reason: ResyncReason


@dataclass(frozen=True, slots=True)
class ChangeMessage(Generic[V]):
    """One change. `view` shows the current state, and is None once the row is out of sight."""

    cursor: Cursor
    operation: ChangeOperation
    row_id: int
    view: V | None
    occurred_at: datetime
