"""Metrics for Prometheus. They hold counts only, no personal data."""

import platform
from collections.abc import Iterable
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from app.services import Services
from app.workers.shared_metrics import SharedMetrics
from db.migrate import expected_revision
from db.vocabulary import SyncStatus
from schema.engine.documents import Documents, Operation
from schema.engine.field_use import FieldUse
from sync.errors import RefusalReason
from sync.recording.deliveries import Receipt


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
            "Operations that asked for a field, by the name that the client states.",
            labels=["client", "field"],
        )
        for client, counts in self._field_use.fields.items():
            for coordinate, count in counts.items():
                found.add_metric([client, coordinate], count)
        versions = CounterMetricFamily(
            "likeperson_client_operations",
            "Operations by the name and version that the client states; those seen last.",
            labels=["client", "version"],
        )
        for client_version, count in self._field_use.versions.items():
            versions.add_metric(client_version, count)
        return [found, versions]


# Clients name their operations, so only so many names are counted apart.
MOST_OPERATIONS = 100
OTHERS = "others"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# The time at which each series began; nobody asks for it, and it doubles the page.
disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations


class _Durations:
    """A histogram whose children are looked up once: an optimisation."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._children: dict[tuple[str, ...], Histogram] = {}

    def observe(self, labels: tuple[str, ...], seconds: float) -> None:
        child = self._children.get(labels)
        if child is None:
            child = self._children[labels] = self._histogram.labels(*labels)
        child.observe(seconds)


class _ServiceState(Collector):
    """Reads the state of the services when it is asked for."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterable[Metric]:
        database, feed = self._services.database, self._services.feed
        yield GaugeMetricFamily(
            "likeperson_feed_position",
            "Position of the last change that this process has read.",
            feed.position,
        )
        yield GaugeMetricFamily(
            "likeperson_feed_alive",
            "1 while this process reads the change feed.",
            float(feed.alive),
        )
        yield GaugeMetricFamily(
            "likeperson_commits_failing",
            "1 while commits fail one after the other.",
            float(database.commits_fail),
        )
        yield GaugeMetricFamily(
            "likeperson_intake_waiting",
            "Deliveries that wait for a transaction.",
            self._services.intake.waiting,
        )
        yield CounterMetricFamily(
            "likeperson_bodies_removed",
            "Log entries whose bodies and values this process has removed for their age.",
            self._services.body_retention.removed,
        )
        concerns = GaugeMetricFamily(
            "likeperson_concern",
            "1 for each concern that somebody must look after, as this process saw it last.",
            labels=["kind", "source", "state"],
        )
        for concern in self._services.concerns.last:
            concerns.add_metric([concern.kind, concern.source or "", concern.state], 1)
        yield concerns
        in_use = GaugeMetricFamily(
            "likeperson_connections_in_use", "Database connections in use.", labels=["pool"]
        )
        limit = GaugeMetricFamily(
            "likeperson_connections_limit", "Database connections at most.", labels=["pool"]
        )
        for name, pool in database.pools.items():
            in_use.add_metric([name], pool.in_use)
            limit.add_metric([name], pool.size)
        yield in_use
        yield limit


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
        self._requests = _Durations(
            Histogram(
                "likeperson_http_request_seconds",
                "Time from a request to its complete answer; streams are not counted.",
                ["route", "method", "code"],
                buckets=_SECONDS,
                registry=self._registry,
            )
        )
        self._operations = _Durations(
            Histogram(
                "likeperson_graphql_seconds",
                "Time to execute a query or mutation, by its name, type and result.",
                ["operation", "type", "result"],
                buckets=_SECONDS,
                registry=self._registry,
            )
        )
        self._operation_names: set[str] = set()
        build = Gauge(
            "likeperson_build_info",
            "Always 1; the labels tell which version runs.",
            ["version", "schema", "python"],
            registry=self._registry,
        )
        build.labels(
            version("likeperson-sync"), expected_revision(), platform.python_version()
        ).set(1)
        ProcessCollector(registry=self._registry)
        self._state: _ServiceState | None = None
        self.shared: SharedMetrics | None = None

    def watch_services(self, services: Services) -> None:
        """Reports the state of these services from now on."""
        if self._state is not None:
            self._registry.unregister(self._state)
        self._state = _ServiceState(services)
        self._registry.register(self._state)

    def watch_documents(self, documents: Documents, field_use: FieldUse) -> None:
        self._registry.register(_DocumentCounts(documents))
        self._registry.register(_FieldUseCounts(field_use))

    def requested(self, route: str, method: str, code: int, seconds: float) -> None:
        self._requests.observe((route, method, str(code)), seconds)

    def executed(self, operation: Operation, result: str, seconds: float) -> None:
        name = operation.name or "unnamed"
        if name not in self._operation_names:
            if len(self._operation_names) < MOST_OPERATIONS:
                self._operation_names.add(name)
            else:
                name = OTHERS
        self._operations.observe((name, operation.type.value, result), seconds)

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

    def own_page(self) -> bytes:
        """Returns the metrics of this process alone."""
        return generate_latest(self._registry)

    async def page(self, _request: Request) -> Response:
        found = self.own_page() if self.shared is None else await self.shared.page()
        return Response(found, media_type=CONTENT_TYPE_LATEST)
