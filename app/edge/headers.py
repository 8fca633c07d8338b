"""Security headers of every answer: what a page may load, and who may embed it."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.types import Scope

# An answer that is no page loads nothing, wherever it is opened.
_NOTHING = "default-src 'none'; frame-ancestors 'none'"
_PAGE = {
    "default-src": "'none'",
    "script-src": "'self'",
    "worker-src": "'self'",
    # GraphiQL's editor writes its styles at run time.
    "style-src": "'self' 'unsafe-inline'",
    "font-src": "'self' data:",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_TLS = {"Strict-Transport-Security": "max-age=63072000; includeSubDomains"}
_NO_STORE = {"Cache-Control": "no-store"}

Raw = list[tuple[bytes, bytes]]


class SecurityHeaders:
    """The security headers of every HTTP answer.

    `issuer` is the identity provider that pages connect to when somebody signs in.
    """

    def __init__(self, issuer: str | None = None) -> None:
        page = dict(_PAGE)
        if issuer is not None:
            parts = urlsplit(issuer)
            page["connect-src"] += f" {parts.scheme}://{parts.netloc}"
        policy = "; ".join(f"{name} {value}" for name, value in page.items())
        # Encoded once, since every answer has them.
        self._of_pages = _raw({**_ALWAYS, "Content-Security-Policy": policy})
        self._of_others = _raw({**_ALWAYS, "Content-Security-Policy": _NOTHING})
        self._over_tls = _raw(_TLS)
        self._no_store = _raw(_NO_STORE)

    def added(self, given: Mapping[bytes, bytes], scope: Scope) -> Raw:
        """Returns the headers that an answer with the `given` ones gets besides."""
        is_page = given.get(b"content-type", b"").startswith(b"text/html")
        added = list(self._of_pages if is_page else self._of_others)
        if scope["scheme"] == "https":
            added += self._over_tls
        if scope["path"] == "/graphql" and b"cache-control" not in given:
            # Answers hold personal data; an answer that may be kept says so itself.
            added += self._no_store
        return added


def _raw(headers: dict[str, str]) -> Raw:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]
