"""Counts the results of a load run."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

from sync.simulator.sender import SendResult

STOPPING_STATUSES = (401, 404)
"""The secret or the address is wrong: every other delivery would be refused as well."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of a load run. Times are measured by the sender; `ms` is milliseconds."""

    sent: int
    accepted: int
    # HTTP status -> number of deliveries that were not accepted; 0 stands for no answer.
    refused: Mapping[int, int]
    # Outcome of accepted deliveries, or the status where there is none -> number.
    outcomes: Mapping[str, int]
    retried: int
    ack_p50_ms: float
    ack_p99_ms: float
    seconds: float
    # The status that ended the run early, since no delivery can succeed after it.
    stopped_by: int | None = None

    @property
    def per_second(self) -> float:
        return self.sent / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class Tally:
    """The counters of a load run that is under way."""

    sent: int = 0
    retried: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    acknowledged: list[float] = field(default_factory=list)
    stopped_by: int | None = None

    def count(self, result: SendResult, waited: float) -> None:
        """Counts a result. `waited` is the time from when it was due to its answer, in seconds."""
        self.sent += 1
        self.retried += result.attempts > 1
        if result.accepted:
            self.outcomes[result.outcome or result.status or "unknown"] += 1
            self.acknowledged.append(waited)
        else:
            self.refused[result.http_status or 0] += 1
        if result.http_status in STOPPING_STATUSES:
            self.stopped_by = result.http_status

    def summary(self, seconds: float) -> Summary:
        times = sorted(self.acknowledged)
        return Summary(
            sent=self.sent,
            accepted=len(times),
            refused=dict(self.refused),
            outcomes=dict(self.outcomes),
            retried=self.retried,
            ack_p50_ms=_percentile(times, 0.50) * 1000,
            ack_p99_ms=_percentile(times, 0.99) * 1000,
            seconds=seconds,
            stopped_by=self.stopped_by,
        )


def _percentile(ordered: list[float], share: float) -> float:
    """Returns the percentile by nearest rank, or 0 if nothing was measured."""
    return ordered[ceil(share * len(ordered)) - 1] if ordered else 0.0
