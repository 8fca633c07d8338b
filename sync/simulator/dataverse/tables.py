"""The tables of the simulated Dataverse, and what happens to their rows.

Each behaviour names the page of Microsoft's documentation it comes from, below
https://learn.microsoft.com/power-apps/developer/data-platform/.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Columns = dict[str, Any]


@dataclass(slots=True)
class SimulatedTable:
    """`lookups` are columns that point to a row, with the table they point into."""

    entity: str
    entity_set: str
    id: str
    columns: frozenset[str]
    lookups: Mapping[str, str] = field(default_factory=dict)
    rows: dict[str, Columns] = field(default_factory=dict)
    tracked: bool = True
    deleted: dict[str, int] = field(default_factory=dict)
    """Tombstones, with the version at which the row was deleted."""
    links: dict[str, dict[str, list[Columns]]] = field(default_factory=dict)
    """By navigation property, the rows that each row is linked with."""


class SimulatedTables:
    def __init__(self, tables: list[SimulatedTable], clock: Callable[[], datetime]) -> None:
        self.by_set = {table.entity_set: table for table in tables}
        self._clock = clock
        self._version = 5_000_000

    def put(self, entity_set: str, id: str, **columns: Any) -> None:
        """Creates or changes a row. A new one is active (reference/entities/contact#statecode);
        `versionnumber` grows with every write of the whole environment (optimistic-concurrency)."""
        table = self.by_set[entity_set]
        if unknown := columns.keys() - table.columns - table.lookups.keys():
            raise ValueError(f"{table.entity} has no columns {sorted(unknown)}.")
        self._version += 1
        row = table.rows.setdefault(id, {table.id: id, "statecode": 0})
        modified_on = self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        row |= {**columns, "modifiedon": modified_on, "versionnumber": self._version}

    def delete(self, entity_set: str, id: str) -> None:
        """Deletes a row; the change tracking of its table keeps a tombstone."""
        self._version += 1
        table = self.by_set[entity_set]
        del table.rows[id]
        table.deleted[id] = self._version

    def touch(self) -> None:
        """Lets something happen elsewhere in the environment."""
        self._version += 1

    @property
    def version(self) -> int:
        """The latest version of the whole environment."""
        return self._version

    def link(self, entity_set: str, navigation: str, id: str, **columns: Any) -> None:
        """Links a row with another. That touches neither of them: no `modifiedon`, no version
        (webapi/associate-disassociate-entities-using-web-api)."""
        self.by_set[entity_set].links.setdefault(navigation, {}).setdefault(id, []).append(columns)
