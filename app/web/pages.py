"""Web pages that were built from console/, handed out as they are."""

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from sync.problems import problem


def page(file: Path) -> Callable[[Request], Response]:
    def answer(_request: Request) -> Response:
        if not file.is_file():
            return problem(HTTPStatus.NOT_FOUND, "This page was not built.")
        # The files it names change their names with their content; the page itself does not.
        return FileResponse(file, headers={"Cache-Control": "no-cache"})

    return answer
