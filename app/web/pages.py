"""Serves the web pages that were built from console/."""

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from sync.intake.problems import problem


def page(file: Path) -> Callable[[Request], Response]:
    def answer(_request: Request) -> Response:
        if not file.is_file():
            return problem(
                HTTPStatus.NOT_FOUND, "This page was not built: `console/build.py` builds it."
            )
        # The names of scripts and styles change with their content; that of the page does not.
        return FileResponse(file, headers={"Cache-Control": "no-cache"})

    return answer
