"""The perimeter put together, the outermost layer first."""

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.edge.bodies import Deadlines, SlowBodies
from app.edge.headers import AnswerHeaders, SecurityHeaders
from app.edge.origins import OriginGuard
from app.edge.rates import Limiter, Rate
from app.settings import Settings

BODY_SECONDS = 20.0
_READABLE = ["ETag", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id"]


def failures_of(settings: Settings) -> Limiter:
    rate = Rate(settings.failures_per_minute, settings.failures_per_minute)
    return Limiter(rate)


def proxies(settings: Settings) -> list[Middleware]:
    """Before everything that asks where a request comes from."""
    if not settings.trusted_proxies:
        return []
    return [Middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.trusted_proxies))]


def perimeter(settings: Settings, headers: AnswerHeaders, deadlines: Deadlines) -> list[Middleware]:
    layers = [
        Middleware(SecurityHeaders, headers),
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
    return [*layers, Middleware(SlowBodies, deadlines)]
