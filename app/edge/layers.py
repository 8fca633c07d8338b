"""Puts together what stands around all routes, by the settings."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.edge.bodies import RequestBodies
from app.edge.headers import SecurityHeaders
from app.edge.origins import OriginGuard
from app.edge.perimeter import AnswerTo, Edge, Perimeter
from app.edge.rates import Limiter, Rate
from app.edge.request_times import Report, RequestTimes, paths_of
from app.settings import Settings

BODY_SECONDS = 20.0
_READABLE = ["ETag", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id"]


def failure_limiter(settings: Settings) -> Limiter:
    """Returns a limiter of refused credentials; each route that refuses has its own."""
    rate = Rate(settings.failures_per_minute, settings.failures_per_minute)
    return Limiter(rate)


def around(
    routes: ASGIApp,
    listed: Iterable[BaseRoute],
    settings: Settings,
    report: Report,
    answer_to: AnswerTo,
) -> ASGIApp:
    """Returns the routes with what stands around them. `listed` are the same routes by their paths;
    `report` is told how long each request took, by route."""
    edge = Edge(
        times=RequestTimes(paths_of(listed), report),
        headers=SecurityHeaders(settings.auth_issuer),
        origins=OriginGuard(settings.allowed_origins, strict=settings.is_guarded),
        bodies=RequestBodies(BODY_SECONDS),
        answer_to=answer_to,
    )
    app = Perimeter(routes, edge, _readable_for(settings.allowed_origins))
    if not settings.trusted_proxies:
        return app
    # Before everything that asks for the address of a client.
    hosts = list(settings.trusted_proxies)
    return ProxyHeadersMiddleware(app, trusted_hosts=hosts)  # type: ignore[arg-type,return-value]  # the same in uvicorn's words


def _readable_for(origins: Sequence[str]) -> Callable[[ASGIApp], ASGIApp] | None:
    """Returns what lets pages of these origins read answers."""
    if not origins:
        return None
    return partial(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["*"],
        expose_headers=_READABLE,
    )
