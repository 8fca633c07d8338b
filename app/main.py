"""The application: routes, lifespan and error answers in one place."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from app.document_folder import load_trusted_documents
from app.edge import layers
from app.edge.bodies import BodyTooSlowError
from app.graphql.changes_route import ChangesRoute
from app.graphql.endpoint import GraphQLRoute
from app.graphql.rate_limits import rate_limits_of
from app.metrics import Metrics
from app.services import Services, open_services, utc_now
from app.settings import Settings, SourceSettings
from app.web.pages import BuiltFiles, or_page, page
from app.web.sign_in import CONSOLE, console_routes
from app.webhooks.route import DeliveryRoute
from app.workers.shared_metrics import SharedMetrics
from app.workers.worker_place import WorkerPlace
from db.errors import DatabaseError, DatabaseUnavailableError
from db.migrate import check_schema
from schema.access import AccessPolicy
from schema.build import build_schema
from schema.engine.executor import Bounds
from sync.cloudevents.envelopes import EnvelopeReader
from sync.cloudevents.scheme import CloudEventsHandshake, CloudEventsKey
from sync.dataverse.mapping import load_mapping
from sync.dataverse.reader import MessageReader
from sync.dataverse.scheme import DataverseKey
from sync.errors import OverloadedError, VerificationError
from sync.intake.problems import problem, too_slow
from sync.intake.sources import Source
from sync.intake.webhook import WebhookRoute
from sync.recording.deliveries import Delivery, Receipt
from sync.shared_key.scheme import SharedKey
from sync.standard_webhooks.scheme import StandardWebhooks

STATIC = Path(__file__).parent / "static"
GRAPHIQL = STATIC / "graphiql"


Handler = Callable[[Request], Awaitable[Response] | Response]


def create_app(settings: Settings, place: WorkerPlace | None = None) -> Starlette:
    """Returns the application, of one of several processes where it has a place among them.

    Nothing is opened before its lifespan begins.
    """
    metrics = Metrics()

    def services() -> Services:
        opened: Services = app.state.services
        return opened

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_services(settings) as opened:
            app.state.services = opened
            metrics.watch_services(opened)
            if place is None:
                yield
                return
            metrics.shared = SharedMetrics(place.folder, place.slot, metrics.own_page)
            async with metrics.shared.told():
                yield

    app = Starlette(routes=_routes(settings, services, metrics), lifespan=lifespan)
    # One layer of our own instead of Starlette's and one for each purpose.
    app.middleware_stack = layers.around(
        app.router, app.routes, settings, metrics.requested, _answer_to
    )
    app.router.default = or_page(app.router.default, CONSOLE / "index.html")
    # Senders of webhooks do not follow redirects.
    app.router.redirect_slashes = False
    return app


def _routes(
    settings: Settings, services: Callable[[], Services], metrics: Metrics
) -> list[BaseRoute]:
    schema = build_schema(
        AccessPolicy(guarded=settings.is_guarded, allowed=settings.documents),
        trusted=load_trusted_documents(settings.documents_folder),
        bounds=Bounds(settings.max_query_cost, settings.max_query_seconds),
    )
    metrics.watch_documents(schema.documents, schema.executor.field_use)
    schema.executor.executed = metrics.executed
    rate_limits = rate_limits_of(settings)
    graphql = GraphQLRoute(
        schema.executor,
        services,
        metrics,
        rate_limits,
        socket_init_seconds=settings.socket_init_seconds,
    )

    webhook = _webhook(settings, services, metrics)
    refusals = layers.failure_limiter(settings) if settings.is_guarded else None

    return [
        Route("/webhooks/{source}", DeliveryRoute(webhook, refusals)),
        Route("/graphql", graphql, methods=["GET", "POST"]),
        WebSocketRoute("/graphql", graphql),
        Route("/changes", ChangesRoute(services, rate_limits), methods=["GET"]),
        Route("/healthz", _healthz),
        Route("/readyz", _readiness(services)),
        Route("/metrics", metrics.page),
        *console_routes(settings, services),
        Route("/graphiql", page(GRAPHIQL / "index.html")),
        Mount("/graphiql", BuiltFiles(GRAPHIQL, html=True)),
    ]


def _webhook(
    settings: Settings, services: Callable[[], Services], metrics: Metrics
) -> WebhookRoute:
    def submit(delivery: Delivery) -> Awaitable[Receipt]:
        return services().intake.submit(delivery)

    def refused(source: str, error: VerificationError) -> None:
        metrics.refused(source, error.reason)
        services().refusals.note(source, error)

    return WebhookRoute(
        sources_of(settings),
        submit,
        utc_now,
        metrics,
        refused,
        max_bytes=settings.max_delivery_bytes,
    )


def sources_of(settings: Settings) -> dict[str, Source]:
    """Returns the sources that have a secret, by name; the others are off."""
    return {
        name: _source(name, source)
        for name, source in settings.sources.items()
        if source.usable_secrets
    }


def _source(name: str, settings: SourceSettings) -> Source:
    if settings.scheme == "standard-webhooks":
        return Source(name, StandardWebhooks.from_secrets(settings.usable_secrets))
    keys = tuple(secret.encode() for secret in settings.usable_secrets)
    header = settings.header.lower().encode() if settings.header else None
    if settings.scheme == "shared-key":
        return Source(name, SharedKey(header or b"", keys))
    messages: MessageReader | None = None
    if settings.mapping is not None:
        mapping = load_mapping(settings.mapping)
        messages = MessageReader(mapping, reads_rows=mapping.environment.api is not None)
    if settings.scheme == "cloudevents" or messages is None:
        key = CloudEventsKey(keys, header)
        return Source(name, key, EnvelopeReader(messages), handshake=CloudEventsHandshake())
    return Source(name, DataverseKey(keys, header), messages, repeats_only_503=True)


async def _healthz(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _readiness(services: Callable[[], Services]) -> Handler:
    async def readyz(_request: Request) -> Response:
        try:
            await check_schema(services().database)
        except DatabaseError:
            text = "Database unreachable, or its schema version differs."
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, text)
        if services().database.commits_fail:
            text = "Nothing can be written to the database; the log says why."
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, text)
        if not services().feed.alive:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "The change feed is not being read.")
        return JSONResponse({"status": "ready"})

    return readyz


def _answer_to(error: Exception) -> Response | None:
    """Returns the answer to an error that is expected."""
    if isinstance(error, HTTPException):
        response = problem(HTTPStatus(error.status_code))
        response.headers.update(error.headers or {})
        return response
    if isinstance(error, BodyTooSlowError):
        return too_slow()
    if isinstance(error, OverloadedError):
        response = problem(HTTPStatus.SERVICE_UNAVAILABLE, "Too many requests. Try again later.")
        response.headers["Connection"] = "close"
        return response
    if isinstance(error, DatabaseUnavailableError):
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "Database unreachable.")
    return None
