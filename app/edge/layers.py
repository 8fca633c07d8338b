"""The middleware around every route, the outermost first."""

from collections.abc import Iterable

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.edge.bodies import RequestBodies
from app.edge.headers import SecurityHeaders
from app.edge.origins import OriginGuard
from app.edge.rates import Limiter, Rate
from app.edge.request_ids import RequestIds
from app.edge.request_times import Report, RequestTimes, paths_of
from app.settings import Settings

BODY_SECONDS = 20.0
_READABLE = ["ETag", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id"]


def failure_limiter(settings: Settings) -> Limiter:
    """Returns a limiter of refused credentials; each route that refuses has its own."""
    rate = Rate(settings.failures_per_minute, settings.failures_per_minute)
    return Limiter(rate)


def perimeter(settings: Settings, routes: Iterable[BaseRoute], report: Report) -> list[Middleware]:
    """`report` is told how long each request took, by route."""
    layers = [Middleware(RequestTimes, paths_of(routes), report)]
    if settings.trusted_proxies:
        # Before everything that asks for the address of a client.
        hosts = list(settings.trusted_proxies)
        layers.append(Middleware(ProxyHeadersMiddleware, trusted_hosts=hosts))
    layers += [
        Middleware(RequestIds),
        Middleware(SecurityHeaders, settings.auth_issuer),
        Middleware(OriginGuard, settings.allowed_origins, strict=settings.is_guarded),
    ]
    if settings.allowed_origins:
        layers.append(
            Middleware(
                CORSMiddleware,
                allow_origins=settings.allowed_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["*"],
                expose_headers=_READABLE,
            )
        )
    return [*layers, Middleware(RequestBodies, BODY_SECONDS)]
