"""Which concerns stand, from what was noticed and what is remembered of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from db.queries.log.concern_records import ConcernKey, RememberedConcern
from db.vocabulary import ConcernKind, ConcernState

AT_ONCE = timedelta(0)
PASSING = frozenset(
    {
        ConcernKind.REFUSED_DEACTIVATION,
        ConcernKind.REJECTIONS,
        ConcernKind.UNKNOWN_TYPES,
        ConcernKind.OVERTAKEN,
        ConcernKind.MASS_DEACTIVATION,
    }
)
"""Kinds about something that has happened. Once acknowledged they are over, and only what comes
later counts; concerns of the other kinds last until their cause is gone."""


@dataclass(frozen=True, slots=True)
class NoticedConcern:
    """Something that is noticed now. `count` says how much of it there is, `since` when it began if
    that is known, `ripens` how long it must last before it is a concern."""

    key: ConcernKey
    count: int
    detail: str
    since: datetime | None = None
    ripens: timedelta = AT_ONCE


@dataclass(frozen=True, slots=True)
class StandingConcern:
    """A concern as it stands. `detail` is a sentence in English with the figures."""

    kind: ConcernKind
    source: str | None = None
    detail: str = ""
    count: int = 1
    since: datetime | None = None
    state: ConcernState = ConcernState.OPEN
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None

    @property
    def key(self) -> ConcernKey:
        return ConcernKey(self.kind, self.source or "")


def standing(
    noticed: Sequence[NoticedConcern],
    remembered: Mapping[ConcernKey, RememberedConcern],
    now: datetime,
) -> list[StandingConcern]:
    """Returns the concerns that stand, the most urgent first."""
    found = []
    for it in noticed:
        known = remembered.get(it.key)
        first_noticed = known.since if known else now
        if now - first_noticed < it.ripens:
            continue
        given = known.acknowledgement if known and it.key.kind not in PASSING else None
        if given is not None and it.count > given.extent:
            given = None
        found.append(
            StandingConcern(
                kind=it.key.kind,
                source=it.key.source or None,
                detail=it.detail,
                count=it.count,
                since=it.since or first_noticed,
                state=ConcernState.ACKNOWLEDGED if given else ConcernState.OPEN,
                acknowledged_at=given.at if given else None,
                acknowledged_by=given.by if given else None,
            )
        )
    urgency = {kind: place for place, kind in enumerate(ConcernKind)}
    return sorted(found, key=lambda concern: (urgency[concern.kind], concern.key.source))
