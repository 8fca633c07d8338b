"""The reasons that people give for what they do, which are kept beside it."""

from typing import NamedTuple

MAX_REASON = 1000


class ReasonFault(NamedTuple):
    code: str
    message: str


def fault_of(reason: str) -> ReasonFault | None:
    """Returns what is wrong with a reason that must be given."""
    if not reason:
        return ReasonFault("REASON_MISSING", "Say why; the audit trail keeps it.")
    too_long = too_long_of(reason)
    return None if too_long is None else ReasonFault("REASON_TOO_LONG", too_long)


def too_long_of(reason: str) -> str | None:
    """Returns the message about a reason that is too long."""
    if len(reason) <= MAX_REASON:
        return None
    return f"`reason` has {len(reason)} characters; the limit is {MAX_REASON}."
