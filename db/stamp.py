"""Stamps: which of two statements about the same part of a member counts.

A stamp is text whose order is the order of the law: the later time wins; at equal times a
deactivation wins, then the larger event id, then the larger source name. Its fields are separated
by spaces, which sort below every character an event id or source name may hold.
"""

from datetime import UTC, datetime
from typing import NewType

Stamp = NewType("Stamp", str)

NEVER = Stamp("")
"""Older than every statement: the part was never stated."""


def make_stamp(at: datetime, *, deactivation: bool, event_id: str, source: str) -> Stamp:
    moment = (at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat(timespec="microseconds")
    return Stamp(f"{moment} {deactivation:d} {event_id} {source}")


def stamped_at(stamp: Stamp) -> datetime:
    """When the statement was made. Raises ValueError for NEVER."""
    return datetime.fromisoformat(stamp.partition(" ")[0])
