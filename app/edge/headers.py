"""What browsers are told with every answer: what a page may load, and who may show it."""

from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Whatever is no page loads nothing, wherever it is opened.
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


class AnswerHeaders:
    """`issuer`: where pages sign in, and so must be able to connect to."""

    def __init__(self, issuer: str | None = None) -> None:
        page = dict(_PAGE)
        if issuer is not None:
            parts = urlsplit(issuer)
            page["connect-src"] += f" {parts.scheme}://{parts.netloc}"
        policy = "; ".join(f"{name} {value}" for name, value in page.items())
        # As they go on the wire, since every answer has them.
        self._of_pages = _raw({**_ALWAYS, "Content-Security-Policy": policy})
        self._of_others = _raw({**_ALWAYS, "Content-Security-Policy": _NOTHING})
        self._over_tls = _raw(_TLS)
        self._no_store = _raw(_NO_STORE)

    def add(self, given: Raw, scope: Scope) -> None:
        """Adds ours to those of the answer to a request."""
        names = dict(given)
        is_page = names.get(b"content-type", b"").startswith(b"text/html")
        given += self._of_pages if is_page else self._of_others
        if scope["scheme"] == "https":
            given += self._over_tls
        if scope["path"] == "/graphql" and b"cache-control" not in names:
            # Answers tell of people; what may be kept says so itself.
            given += self._no_store


class SecurityHeaders:
    def __init__(self, app: ASGIApp, headers: AnswerHeaders) -> None:
        self._app = app
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = list(message.get("headers", ()))
                self._headers.add(message["headers"], scope)
            await send(message)

        await self._app(scope, receive, tell)


def _raw(headers: dict[str, str]) -> Raw:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]
