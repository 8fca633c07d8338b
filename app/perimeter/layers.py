"""The perimeter put together, the outermost layer first."""

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.perimeter.bodies import SlowBodies
from app.perimeter.deliveries import DoubtfulDeliveries
from app.perimeter.headers import SecurityHeaders
from app.perimeter.origins import OriginGuard
from app.perimeter.rates import Limiter, Rate
from app.settings import Settings

BODY_SECONDS = 20.0
_READABLE = ["ETag", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id"]


def failures_of(settings: Settings) -> Limiter:
    rate = Rate(settings.failures_per_minute, settings.failures_per_minute)
    return Limiter(rate)


def perimeter(settings: Settings) -> list[Middleware]:
    layers = []
    if settings.trusted_proxies:
        proxies = list(settings.trusted_proxies)
        layers.append(Middleware(ProxyHeadersMiddleware, trusted_hosts=proxies))
    layers += [
        Middleware(SecurityHeaders, issuer=settings.auth_issuer),
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
    layers.append(Middleware(SlowBodies, seconds=BODY_SECONDS))
    if settings.is_guarded:
        layers.append(Middleware(DoubtfulDeliveries, failures=failures_of(settings)))
    return layers
