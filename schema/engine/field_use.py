"""Counts which fields clients use: what may be removed one day, and whom it would hurt."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from schema.engine.walk import Scope, Walk

# Clients name themselves, so only so many of them are counted apart; the rest are counted together.
MOST_CLIENTS = 20
OTHERS = ("others", "")


@dataclass(frozen=True, slots=True)
class Client:
    """A client as it calls itself."""

    name: str = ""
    version: str = ""


UNNAMED_CLIENT = Client()


@dataclass(slots=True)
class FieldUse:
    """Counts, for each client, the operations that ask for a field."""

    counts: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)

    def count(self, client: Client, coordinates: frozenset[str]) -> None:
        label = (client.name, client.version)
        if label not in self.counts and len(self.counts) >= MOST_CLIENTS:
            label = OTHERS
        self.counts.setdefault(label, Counter()).update(coordinates)


def coordinates(walk: Walk, scopes: Iterable[Scope]) -> frozenset[str]:
    """Returns `Type.field` for everything a valid operation asks for, except of introspection."""
    found = set()
    for selected in walk.fields(scopes):
        name = selected.node.name.value
        if selected.parent is not None and not name.startswith("__"):
            found.add(f"{selected.parent.name}.{name}")
            found |= coordinates(walk, selected.below)
    return frozenset(found)
