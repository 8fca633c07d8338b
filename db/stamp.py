"""Stamps: the rank of a statement. Of two statements about one part, the larger stamp wins.

A stamp is text that sorts as the law has it: the later time wins; at equal times the larger
sequence, then a deactivation, then the larger event id, then the larger source name. Its fields are
separated by spaces, which sort below every character that an event id or source name may contain.
"""

from datetime import UTC, datetime
from typing import NewType

Stamp = NewType("Stamp", str)

NEVER = Stamp("")
"""The stamp of a part that was never stated; it is below all others."""


def make_stamp(
    at: datetime, *, sequence: int, deactivation: bool, event_id: str, source: str
) -> Stamp:
    """Makes a stamp; `sequence` is from 0, which stands for none, to 2**63 - 1."""
    moment = (at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat(timespec="microseconds")
    digits = str(sequence)
    # With a letter for the number of digits in front, larger numbers sort after smaller ones.
    rank = f"{chr(ord('a') + len(digits) - 1)}{digits}"
    return Stamp(f"{moment} {rank} {deactivation:d} {event_id} {source}")


def stated_by(stamp: Stamp) -> str:
    """Returns the source of the statement."""
    return stamp.rpartition(" ")[2]


def key_of(stamp: Stamp) -> tuple[str, str]:
    """Returns the source and the id of the event that made the statement."""
    _, _, _, event_id, source = stamp.split(" ")
    return source, event_id


def stamped_at(stamp: Stamp) -> datetime:
    """Returns when the statement was made. Raises ValueError for NEVER."""
    return datetime.fromisoformat(stamp.partition(" ")[0])


def are_tied(one: Stamp, other: Stamp) -> bool:
    """Returns True if neither time nor sequence tells which of two statements is newer."""
    return one != other and one.split(" ", 2)[:2] == other.split(" ", 2)[:2]
