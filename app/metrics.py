"""Metrics for Prometheus. They hold counts only, no personal data."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from db.vocabulary import SyncStatus
from schema.engine.documents import Documents
from schema.engine.field_use import FieldUse
from sync.deliveries import Receipt
from sync.errors import RefusalReason


class _DocumentCounts(Collector):
    """Reads the counts of the document cache."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def collect(self) -> Iterable[Metric]:
        found = CounterMetricFamily(
            "likeperson_documents",
            "GraphQL documents received: kept ones, and new ones that were parsed and validated.",
            labels=["found"],
        )
        found.add_metric(["kept"], self._documents.hits)
        found.add_metric(["new"], self._documents.misses)
        return [found]


class _FieldUseCounts(Collector):
    """Reads how often each client asked for each field."""

    def __init__(self, field_use: FieldUse) -> None:
        self._field_use = field_use

    def collect(self) -> Iterable[Metric]:
        found = CounterMetricFamily(
            "likeperson_field_uses",
            "Operations that asked for a field, by the name and version that the client states.",
            labels=["client", "version", "field"],
        )
        for client, counts in self._field_use.counts.items():
            for coordinate, count in counts.items():
                found.add_metric([*client, coordinate], count)
        return [found]


class Metrics:
    """The metrics of one application. Each has its own registry, so a process can hold several."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._answers = Counter(
            "likeperson_deliveries",
            "Answers to webhook deliveries.",
            ["source", "code", "status"],
            registry=self._registry,
        )
        # An optimisation: looking up a counter by labels costs several times as much as counting.
        self._answer_counters: dict[tuple[str, int, SyncStatus | None], Counter] = {}
        self._refusals = Counter(
            "likeperson_deliveries_refused",
            "Deliveries refused before they were authenticated, by reason.",
            ["source", "reason"],
            registry=self._registry,
        )
        self.open_sockets = Gauge(
            "likeperson_open_sockets", "Open GraphQL WebSockets.", registry=self._registry
        )
        self.open_event_streams = Gauge(
            "likeperson_open_event_streams",
            "Open streams of server-sent events.",
            registry=self._registry,
        )
        self.feed_position = Gauge(
            "likeperson_feed_position",
            "Position of the last change that this process has read.",
            registry=self._registry,
        )

    def watch_documents(self, documents: Documents, field_use: FieldUse) -> None:
        self._registry.register(_DocumentCounts(documents))
        self._registry.register(_FieldUseCounts(field_use))

    def refused(self, source: str, reason: RefusalReason) -> None:
        self._refusals.labels(source, reason.value).inc()

    def answered(self, source: str, status: int, receipt: Receipt | None) -> None:
        kind = source, status, receipt.status if receipt else None
        counter = self._answer_counters.get(kind)
        if counter is None:
            label = receipt.status.value.lower() if receipt else "none"
            counter = self._answers.labels(source, str(status), label)
            self._answer_counters[kind] = counter
        counter.inc()

    async def page(self, _request: Request) -> Response:
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)
