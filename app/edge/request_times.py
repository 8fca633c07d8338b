"""Reports how long requests took, by route."""

from collections.abc import Callable, Iterable

from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Scope

OTHER = "other"
_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})

Report = Callable[[str, str, int, float], None]
"""Is told the route, the method, the status and the seconds of a request."""


class RequestTimes:
    """Knows the routes that requests are reported by."""

    def __init__(self, paths: frozenset[str], report: Report) -> None:
        """Reports times by the `paths` of the routes; all other paths are reported together."""
        self._exact = frozenset(path for path in paths if not path.endswith("}"))
        folders = {path.partition("{")[0]: path for path in paths - self._exact}
        # The most particular first.
        self._folders = sorted(folders.items(), reverse=True)
        self._report = report

    def answered(self, scope: Scope, status: int, seconds: float) -> None:
        """Reports a request whose answer is complete."""
        method = scope["method"] if scope["method"] in _METHODS else OTHER
        self._report(self._route(scope["path"]), method, status, seconds)

    def _route(self, path: str) -> str:
        if path in self._exact:
            return path
        return next((it for folder, it in self._folders if path.startswith(folder)), OTHER)


def paths_of(routes: Iterable[BaseRoute]) -> frozenset[str]:
    """Returns the paths of the routes, those that stand for several with a part in braces."""
    found = {route.path for route in routes if isinstance(route, Route)}
    return frozenset(found | {f"{it.path}/{{file}}" for it in routes if isinstance(it, Mount)})
