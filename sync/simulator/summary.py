"""Counts what became of a load run's deliveries."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

from sync.simulator.sender import Receipt


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of a load run; times are the sender's, in milliseconds where named `ms`."""

    sent: int
    accepted: int
    # HTTP status -> deliveries that were not accepted; 0 stands for no answer at all.
    refused: Mapping[int, int]
    # What the service said of accepted events: the outcome, or the status where there is none.
    outcomes: Mapping[str, int]
    retried: int
    ack_p50_ms: float
    ack_p99_ms: float
    seconds: float

    @property
    def per_second(self) -> float:
        return self.sent / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class Tally:
    """The counters while a run is under way."""

    sent: int = 0
    retried: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    acknowledged: list[float] = field(default_factory=list)

    def count(self, receipt: Receipt, waited: float) -> None:
        """`waited` is in seconds, from the moment the delivery was due to its answer."""
        self.sent += 1
        self.retried += receipt.attempts > 1
        if receipt.accepted:
            self.outcomes[receipt.outcome or receipt.status or "unknown"] += 1
            self.acknowledged.append(waited)
        else:
            self.refused[receipt.http_status or 0] += 1

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
        )


def _percentile(ordered: list[float], share: float) -> float:
    """By nearest rank: a time that was really measured. Zero if nothing was."""
    return ordered[ceil(share * len(ordered)) - 1] if ordered else 0.0
