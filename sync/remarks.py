"""The texts of the sync log: refusals, and remarks on what was mended or may be wrong.

All of them stand here, so that the console can say each one in Norwegian as well.
"""

from collections.abc import Sequence

BYTE_ORDER_MARK = "The body begins with a byte order mark, which was skipped."
NOT_A_CLOUD_EVENT = (
    "The body is no CloudEvent: it has no `specversion`, neither in the envelope nor as a header."
)
NOBODY_KNOWN = "Nobody with this id is known here, and nothing shows that it is a member."
NOT_UTF8 = "The body is not UTF-8. Characters that could not be read were replaced."
BODY_REMOVED = "The body is no longer kept, so there is nothing to apply."

FORGOTTEN_BEFORE = "The person was forgotten before, so there is nothing left to remove."
OLDER_THAN_FORGETTING = (
    "The person was forgotten, and this is older. Nothing of it is kept or applied."
)
NOT_BEGUN_ANEW = (
    "The person was forgotten, and the portal has not begun a new membership. Nothing of this is "
    "kept or applied."
)


def forgotten(counts: str) -> str:
    return f"The person is forgotten. Rows that were removed or emptied, by table: {counts}."


def not_json(reason: str) -> str:
    return f"The body is not JSON: {reason}."


def missing(at: str) -> str:
    return f"`{at}` is missing."


def not_an_object(at: str) -> str:
    return f"`{at}` must be an object."


def not_a_list(at: str) -> str:
    return f"`{at}` must be a list."


def not_an_id(at: str) -> str:
    return f"`{at}` must be an id of the portal, such as 6d81597f-0f9f-e711-8122-000d3aa2331c."


def not_a_time(at: str) -> str:
    return f"`{at}` must be a date and time with its zone, such as 2026-11-23T09:30:00Z."


def not_a_text(at: str, longest: int) -> str:
    return f"`{at}` must be a text of 1 to {longest} characters."


def too_many_roles(count: int, limit: int) -> str:
    return f"`$.data.roles` has {count} roles; the limit is {limit}."


def misspelled_type(type: str, known: str) -> str:
    return f"The type {type!r} is not known. Did you mean {known!r}?"


def unknown_type(type: str) -> str:
    return f"Events of the type {type!r} are not known here."


def conflict(event_id: str) -> str:
    return f"The event id {event_id} was used before, for a different body."


def folded(at: str) -> str:
    return f"Line breaks, tabs and runs of blanks in `{at}` were replaced by single blanks."


def replaced(at: str) -> str:
    return f"Half characters in `{at}` were replaced."


def number_as_text(at: str) -> str:
    return f"The number in `{at}` was taken as text."


def not_text(at: str) -> str:
    return f"`{at}` is not a text. It was ignored."


def too_long(at: str, length: int, limit: int) -> str:
    return f"`{at}` has {length} characters; the limit is {limit}. It was ignored."


def cut(at: str, length: int, limit: int) -> str:
    return f"`{at}` has {length} characters; only the first {limit} were kept."


def unreadable(at: str) -> str:
    return f"`{at}` cannot be read. It was ignored."


def blank_home(at: str) -> str:
    return f"`{at}` is blank: the event states that the member has no home organization."


def not_a_sequence(at: str) -> str:
    return f"`{at}` must be a whole number from 0 to {2**63 - 1}. It was ignored."


def time_ahead(stated: str) -> str:
    return (
        f"The event's time, {stated}, was more than five minutes ahead; the time of receipt counts."
    )


def time_too_old(stated: str) -> str:
    return f"The event's time, {stated}, is before the year 2000; the time of receipt counts."


def tied(parts: Sequence[str]) -> str:
    return (
        f"Another event of the same time states something else of: {', '.join(parts)}. Which of "
        "them is newer cannot be told without a sequence; a fixed rule decided."
    )


def overtaken(newer: str) -> str:
    return (
        f"A statement of {newer}, which is newer, was received before this one. If this happens "
        "often, a clock of the sender is slow."
    )


def reason_given(reason: str) -> str:
    return f"Reason given: {reason}"


CYCLE = (
    "The chapter and those above it now form a cycle. The newest of the stated parents counts for "
    "nothing until the portal states another one."
)


MERGED_WITH_ITSELF = "`$.data.mergedId` is the id of the member itself."


def merged(gone: str) -> str:
    return f"{gone} is the same person from now on, and so is what is stated of that id."


MERGE_REFUSED = (
    "The portal has stated that this person lives on under the other id. The merge was not turned "
    "round."
)


ROW_IS_READ_AGAIN = "The row is read again."


def new_role(code: str) -> str:
    return (
        f"The role code {code!r} was not known. It was added to the catalogue and gives the access "
        "level MEMBER until an administrator sets another."
    )


def gained_sight(roles: Sequence[str], chapter: str) -> str:
    return f"Holds {', '.join(roles)} in the home organization, and so sees {chapter} from now on."


def more_new_roles(count: int) -> str:
    return f"Further unknown role codes, added likewise: {count}."


def unlisted_roles(count: int, limit: int) -> str:
    return (
        f"Role codes that are not in the catalogue: {count}. It has {limit} codes already that "
        "nobody has decided on. These are kept as text and give no access."
    )


def handler_failed(error: str) -> str:
    return f"The handler failed: {error}."


def not_applied(reason: str) -> str:
    return f"The event could not be applied: {reason}"
