"""Counts which fields clients use: what may be removed one day, and whom it would hurt."""

from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from schema.engine.walk import Scope, Walk

# Clients name themselves, so only the latest of them are counted apart. Of those that were not seen
# for longest, the counts are added to the others'.
MOST_CLIENTS = 20
MOST_VERSIONS = 20
OTHERS = "others"


@dataclass(frozen=True, slots=True)
class Client:
    """A client as it calls itself."""

    name: str = ""
    version: str = ""


UNNAMED_CLIENT = Client()


@dataclass(slots=True)
class FieldUse:
    """Counts, for each client, the operations that ask for a field."""

    fields: OrderedDict[str, Counter[str]] = field(default_factory=OrderedDict)
    """How often each field was asked for, by the client's name."""
    versions: OrderedDict[tuple[str, str], int] = field(default_factory=OrderedDict)
    """The number of operations, by the client's name and version."""

    def count(self, client: Client, coordinates: frozenset[str]) -> None:
        self.fields.setdefault(client.name, Counter()).update(coordinates)
        self.fields.move_to_end(client.name)
        if len(self.fields) > MOST_CLIENTS + (OTHERS in self.fields):
            name = next(name for name in self.fields if name != OTHERS)
            self.fields.setdefault(OTHERS, Counter()).update(self.fields.pop(name))
        version = client.name, client.version
        self.versions[version] = self.versions.get(version, 0) + 1
        self.versions.move_to_end(version)
        if len(self.versions) > MOST_VERSIONS:
            self.versions.popitem(last=False)


def coordinates(walk: Walk, scopes: Iterable[Scope]) -> frozenset[str]:
    """Returns `Type.field` for everything a valid operation asks for, except of introspection."""
    found = set()
    for selected in walk.fields(scopes):
        name = selected.node.name.value
        if selected.parent is not None and not name.startswith("__"):
            found.add(f"{selected.parent.name}.{name}")
            found |= coordinates(walk, selected.below)
    return frozenset(found)
