"""Measures how long requests take, by route."""

from collections.abc import Callable, Iterable
from time import perf_counter

from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OTHER = "other"
_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})
_EVENT_STREAM = b"text/event-stream"

Report = Callable[[str, str, int, float], None]
"""Is told the route, the method, the status and the seconds of a request."""


class RequestTimes:
    """Reports each request when its answer is complete. Streams last as long as their clients like,
    and are not reported."""

    def __init__(self, app: ASGIApp, paths: frozenset[str], report: Report) -> None:
        """`paths` are those of the routes; whatever else is asked for is reported together."""
        self._app = app
        self._exact = frozenset(path for path in paths if not path.endswith("}"))
        folders = {path.partition("{")[0]: path for path in paths - self._exact}
        # The most particular first.
        self._folders = sorted(folders.items(), reverse=True)
        self._report = report

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        status = 0
        is_stream = False

        async def watched(message: Message) -> None:
            nonlocal status, is_stream
            if message["type"] == "http.response.start":
                status = message["status"]
                is_stream = any(
                    name == b"content-type" and value.startswith(_EVENT_STREAM)
                    for name, value in message.get("headers", ())
                )
            elif not (is_stream or message.get("more_body", False)):
                # Before the client knows that the answer is complete.
                method = scope["method"] if scope["method"] in _METHODS else OTHER
                self._report(self._route(scope["path"]), method, status, perf_counter() - began)
            await send(message)

        await self._app(scope, receive, watched)

    def _route(self, path: str) -> str:
        if path in self._exact:
            return path
        return next((it for folder, it in self._folders if path.startswith(folder)), OTHER)


def paths_of(routes: Iterable[BaseRoute]) -> frozenset[str]:
    """Returns the paths of the routes, those that stand for several with a part in braces."""
    found = {route.path for route in routes if isinstance(route, Route)}
    return frozenset(found | {f"{it.path}/{{file}}" for it in routes if isinstance(it, Mount)})
