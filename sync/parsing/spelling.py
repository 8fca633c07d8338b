"""The spelling of event types: what names a known type, and what was probably meant to."""

from sync.events import EventType

MISSPELLED_LETTERS = 2
"""A type within so many letters of a known one was probably meant to be that."""

_TYPES = {type.value: type for type in EventType}
_SEPARATORS = str.maketrans("._", "--")


def known_type(written: str) -> EventType | None:
    """Returns the type, whatever its case, blanks around it, and `.` or `_` for `-`."""
    return _TYPES.get(_spelled(written))


def similar_type(written: str) -> EventType | None:
    """Returns the known type that a misspelled one is nearest to, if it is near."""
    spelled = _spelled(written)
    distances = {type: _distance(spelled, type.value) for type in EventType}
    nearest = min(distances, key=lambda type: distances[type])
    return nearest if distances[nearest] <= MISSPELLED_LETTERS else None


def _spelled(written: str) -> str:
    return written.strip().lower().translate(_SEPARATORS)


def _distance(one: str, other: str) -> int:
    """Returns how many letters must be added, left out or replaced to make one of the other."""
    row = list(range(len(other) + 1))
    for place, letter in enumerate(one, 1):
        above, row = row, [place]
        for column, wanted in enumerate(other, 1):
            replaced = above[column - 1] + (letter != wanted)
            row.append(min(above[column] + 1, row[-1] + 1, replaced))
    return row[-1]
