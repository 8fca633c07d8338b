"""What Prometheus can ask for. Holds counts only, never who or what."""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from sync.deliveries import Receipt
from sync.errors import Refusal


class Metrics:
    """One registry per application, so that several can live in one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._answers = Counter(
            "likeperson_deliveries",
            "Answers to webhook deliveries.",
            ["source", "code", "status"],
            registry=self._registry,
        )
        self._refusals = Counter(
            "likeperson_deliveries_refused",
            "Deliveries that were not believed, by reason.",
            ["source", "reason"],
            registry=self._registry,
        )
        self.open_sockets = Gauge(
            "likeperson_open_sockets", "Open GraphQL WebSockets.", registry=self._registry
        )
        self.feed_position = Gauge(
            "likeperson_feed_position",
            "The last change this process has read.",
            registry=self._registry,
        )

    def refused(self, source: str, reason: Refusal) -> None:
        self._refusals.labels(source, reason.value).inc()

    def answered(self, source: str, status: int, receipt: Receipt | None) -> None:
        label = receipt.status.value.lower() if receipt else "none"
        self._answers.labels(source, str(status), label).inc()

    async def page(self, _request: Request) -> Response:
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)
