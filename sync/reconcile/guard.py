"""The deletion guard: holds back what a run would take away, if that is more than can be right."""

from collections import Counter
from dataclasses import dataclass, field

from db.vocabulary import PortalId
from sync.reconcile.comparison import Difference

SMALLEST_CHAPTER = 10
"""In chapters with fewer active members, half of them may leave."""


@dataclass(slots=True)
class Removals:
    """The removals of a run. `active` counts the active members of the source by their home,
    `earlier` what runs of the last day have taken away already."""

    earlier: int = 0
    deactivated: Counter[PortalId | None] = field(default_factory=Counter)
    active: Counter[PortalId | None] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)

    def add(self, difference: Difference) -> None:
        if difference.deactivates:
            self.deactivated[difference.home] += 1
        if difference.deactivates or difference.lost_roles:
            self.differences.append(difference)

    @property
    def count(self) -> int:
        return sum(
            one.deactivates + len(one.lost_roles) * (not one.deactivates)
            for one in self.differences
        )


@dataclass(frozen=True, slots=True)
class Guard:
    """More than `count`, and more than `share` of the active members, is not taken away."""

    count: int = 10
    share: float = 0.02

    def verdict(self, removals: Removals) -> str | None:
        """Returns why the removals are held, or None if they are not."""
        if not removals.count:
            return None
        active = sum(removals.active.values())
        limit = max(self.count, int(self.share * active))
        total = removals.count + removals.earlier
        if total > limit:
            return f"{total} would be taken away within a day, and {limit} is the limit"
        for home, gone in removals.deactivated.items():
            there = removals.active[home]
            if home is not None and there >= SMALLEST_CHAPTER and gone > there / 2:
                return f"{gone} of the {there} members of the chapter {home} would be deactivated"
        return None
